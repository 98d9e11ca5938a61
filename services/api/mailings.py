"""Mailings: create, list, show, edit, delete. What moves them from status to status: `lifecycle.py`."""

from dataclasses import replace
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from services.api.access import current_request_id
from services.api.etags import check_if_match, etag, is_conditional, json_answer
from services.api.idempotency import IdempotencyKey, answered_once
from services.api.identifiers import PathId
from services.api.incoming import StrictRoute
from services.api.instants import Instant
from services.api.mailing_rules import check_interval, edits_of, mailing_of
from services.api.mailing_views import MailingBody, MailingPatch, MailingView
from services.api.paging import Page, PageQuery, cut, encode_cursor, id_after
from services.api.parts import Parts, PreparedParts
from shared.contracts.events import MailingEventKind
from shared.domain.client import check_text
from shared.domain.mailing import DRAFT, MAX_NAME_CHARACTERS, Mailing, MailingStatus
from shared.errors import Conflict
from shared.store.mailings import MailingFilter

PATH = "/api/v1/mailings"
CHANGE_TRIES = 5

log = structlog.get_logger()
router = APIRouter(prefix=PATH, tags=["mailings"], route_class=StrictRoute)


class MailingQuery(PageQuery):
    """What a list of mailings can be narrowed to."""

    status: list[MailingStatus] = Field([], description="any of these statuses")
    name: str | None = Field(None, description="exactly this name")
    start_from: Instant | None = Field(None, description="start at or after it")
    start_to: Instant | None = Field(None, description="start before it")

    def to_filter(self) -> MailingFilter:
        """
        Raises:
            InvalidInput: a name that no mailing can have.
        """
        if self.name:
            check_text("name", self.name, max_characters=MAX_NAME_CHARACTERS)
        return MailingFilter(tuple(self.status), self.name, self.start_from, self.start_to)


@router.post("", status_code=201, summary="Create a mailing, or a draft of one", response_model=MailingView)
async def create_mailing(
    body: MailingBody, request: Request, parts: PreparedParts, key: IdempotencyKey = None
) -> Response:
    async def create(mailing_id: int | None) -> tuple[MailingView, dict[str, str]]:
        now = parts.clock.now()
        wanted = replace(mailing_of(body, now, parts.on_unknown), request_id=current_request_id())
        check_interval(wanted, now)
        mailing = await parts.store.mailings.create(wanted, now, mailing_id=mailing_id)
        log.info("mailing.created", mailing_id=mailing.id, status=mailing.status)
        if mailing.status is not DRAFT:
            parts.events.happened(MailingEventKind.SCHEDULED, mailing.id, now)
        view = MailingView.of(mailing, await parts.counts.of(mailing))
        return view, {"Location": f"{PATH}/{mailing.id}", "ETag": mailing_etag(mailing)}

    return await answered_once(request, parts, key, create)


@router.get("", summary="List mailings, the youngest first")
async def list_mailings(query: Annotated[MailingQuery, Query()], parts: PreparedParts) -> Page[MailingView]:
    found = await parts.store.mailings.page(query.to_filter(), before_id=id_after(query), limit=query.limit + 1)
    mailings, last = cut(found, query.limit)
    counted = await parts.counts.of_all(mailings)
    return Page(
        items=[MailingView.of(one, counted[one.id]) for one in mailings],
        next_cursor=last and encode_cursor({"id": last.id}),
    )


@router.get("/{mailing_id}", summary="Show a mailing", response_model=MailingView)
async def show_mailing(mailing_id: PathId, parts: PreparedParts) -> Response:
    # Never 304: the tag is of what operators can change, for If-Match, and the counts go on below it.
    return await mailing_answer(await parts.store.mailings.get(mailing_id), parts)


@router.patch("/{mailing_id}", summary="Edit a mailing; applies to messages not yet sent", response_model=MailingView)
async def edit_mailing(mailing_id: PathId, patch: MailingPatch, request: Request, parts: PreparedParts) -> Response:
    mailing = await _edit(mailing_id, patch.model_dump(exclude_unset=True), request, parts)
    return await mailing_answer(mailing, parts)


@router.delete("/{mailing_id}", status_code=204, summary="Cancel a mailing and remove it with its messages")
async def delete_mailing(mailing_id: PathId, request: Request, parts: PreparedParts) -> None:
    for _ in range(CHANGE_TRIES):
        mailing = await parts.store.mailings.get(mailing_id)
        check_if_match(request, mailing_etag(mailing))
        now = parts.clock.now()
        seen = mailing if is_conditional(request) else None
        if await parts.store.mailings.delete(mailing_id, now, seen=seen, request_id=current_request_id()):
            log.info("mailing.deleted", mailing_id=mailing_id, status_before=mailing.status)
            parts.events.happened(MailingEventKind.DELETED, mailing_id, now)
            return
    raise busy(mailing_id)


async def mailing_answer(mailing: Mailing, parts: Parts) -> Response:
    """A mailing as the response to what changed it."""
    view = MailingView.of(mailing, await parts.counts.of(mailing))
    return json_answer(view, headers={"ETag": mailing_etag(mailing)})


def mailing_etag(mailing: Mailing) -> str:
    """The tag of what operators can change and of the status; the counts go on below it."""
    return etag("mailing", mailing.id, mailing.revision, mailing.status, mailing.pause_reason)


def busy(mailing_id: int) -> Conflict:
    """The conflict of whoever lost against others every time."""
    return Conflict("mailing_changed", f"mailing {mailing_id} is being changed by others all the time, try again")


async def _edit(mailing_id: int, patch: dict[str, Any], request: Request, parts: Parts) -> Mailing:
    """Edit a mailing, looking again whenever it changes at the same time.

    Raises:
        Conflict: as it then stands it cannot be edited so, or it changed all the time.
    """
    for _ in range(CHANGE_TRIES):
        seen = await parts.store.mailings.get(mailing_id)
        check_if_match(request, mailing_etag(seen))
        now = parts.clock.now()
        edits = edits_of(seen, patch, now, parts.on_unknown)
        if not edits:
            return seen
        mailing = await parts.store.mailings.change(seen, now, edits=edits, request_id=current_request_id())
        if mailing is not None:
            log.info("mailing.edited", mailing_id=mailing_id, fields=sorted(edits), revision=mailing.revision)
            parts.events.happened(MailingEventKind.UPDATED, mailing_id, now)
            return mailing
    raise busy(mailing_id)
