"""Statistics: overall and of one mailing. In every answer the counts add up to the audience."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from services.api.etags import answer_unless_known, etag
from services.api.identifiers import PathId
from services.api.incoming import StrictRoute
from services.api.instants import Instant
from services.api.mailing_views import CountsView
from services.api.paging import PageQuery, cut, encode_cursor, id_after
from services.api.parts import PreparedParts
from shared.domain.mailing import MailingStatus
from shared.store.mailings import MailingFilter

router = APIRouter(prefix="/api/v1/statistics", tags=["statistics"], route_class=StrictRoute)


class MailingCountsView(BaseModel):
    """The counts of one mailing."""

    mailing_id: int
    name: str
    status: MailingStatus
    audience_size: int
    counts: CountsView
    ambiguous: int = Field(description="messages of which the outcome of a call was ever unknown")


class StatisticsView(BaseModel):
    """The counts of all mailings together, and of each on this page."""

    totals: CountsView
    ambiguous: int = Field(description="messages of all mailings of which the outcome of a call was ever unknown")
    mailings: list[MailingCountsView]
    next_cursor: str | None = Field(description="where the next page begins; null when there is none")


class LatencyView(BaseModel):
    """How long the provider took, over all attempts that it answered; null while there is none."""

    p50: float | None
    p95: float | None
    p99: float | None


class MinuteView(BaseModel):
    """Messages sent within a minute."""

    at: Instant
    count: int


class FailureView(BaseModel):
    """Failed and unknown messages for one reason."""

    reason: str
    count: int


class MailingStatisticsView(MailingCountsView):
    """All that is counted of one mailing.

    Of an open one with more than 10,000 messages, all but the counts and `by_operator_code` is of `details_at`.
    """

    details_at: Instant | None = Field(description="when this was counted; null when the mailing is over")
    by_operator_code: dict[str, CountsView]
    by_tag: dict[str, CountsView]
    by_attempt: dict[str, int] = Field(description="messages by the number of their last attempt")
    latency_ms: LatencyView
    sent_per_minute: list[MinuteView]
    first_sent_at: Instant | None
    last_sent_at: Instant | None
    failures: list[FailureView]


@router.get("", summary="Count messages of all mailings, and of each, the youngest first")
async def list_statistics(query: Annotated[PageQuery, Query()], parts: PreparedParts) -> StatisticsView:
    mailings = parts.store.mailings
    found = await mailings.page(MailingFilter(), before_id=id_after(query), limit=query.limit + 1)
    page, last = cut(found, query.limit)
    counted = await parts.counts.of_all(page)
    # The totals are the sum of this page as it is answered and of all that is not on it.
    others = await parts.counts.of_all(await mailings.counted_now(without=list(counted)))
    overall = await parts.store.statistics.overall([*counted.values(), *others.values()], without=[*counted, *others])
    return StatisticsView(
        totals=overall.counts,
        ambiguous=overall.ambiguous,
        mailings=[
            MailingCountsView(
                mailing_id=one.id,
                name=one.name,
                status=one.status,
                audience_size=counted[one.id].audience_size,
                counts=counted[one.id].counts,
                ambiguous=counted[one.id].ambiguous,
            )
            for one in page
        ],
        next_cursor=last and encode_cursor({"id": last.id}),
    )


@router.get("/{mailing_id}", summary="Count all that is counted of one mailing", response_model=MailingStatisticsView)
async def show_statistics(mailing_id: PathId, request: Request, parts: PreparedParts) -> Response:
    mailing = await parts.store.mailings.get(mailing_id)
    details_at: datetime | None = None
    if mailing.statistics is not None:
        whole: dict[str, Any] = dict(mailing.statistics)
    else:
        told = await parts.counts.whole(mailing_id)
        details_at, whole = told.at, dict(told.whole)
    by_tag = {one["tag"]: one["counts"] for one in whole.pop("by_tag")}
    view = MailingStatisticsView(
        mailing_id=mailing.id,
        name=mailing.name,
        status=mailing.status,
        details_at=details_at,
        by_tag=by_tag,
        **whole,
    )
    return answer_unless_known(request, view, etag("statistics", view.model_dump(mode="json", exclude={"details_at"})))
