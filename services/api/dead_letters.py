"""Dead letters: what failed for good or cannot be known, by mailing and reason."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.api.incoming import StrictRoute
from services.api.instants import Instant
from services.api.paging import Page, PageQuery, cut, decode_cursor, encode_cursor
from services.api.parts import Parts, PreparedParts
from shared.store.messages import DeadLetterGroup

MAILINGS_AT_ONCE = 100

router = APIRouter(prefix="/api/v1/dead-letters", tags=["messages"], route_class=StrictRoute)


class DeadLetterGroupView(BaseModel):
    """Failed and unknown messages of one mailing for one reason."""

    mailing_id: int
    reason: str | None
    count: int
    oldest: Instant = Field(description="when the first of them got there")
    newest: Instant = Field(description="when the last of them got there")

    @classmethod
    def of(cls, group: DeadLetterGroup) -> "DeadLetterGroupView":
        return cls(**{name: getattr(group, name) for name in cls.model_fields})


@router.get("", summary="List failed and unknown messages, grouped by mailing and reason")
async def list_dead_letters(query: Annotated[PageQuery, Query()], parts: PreparedParts) -> Page[DeadLetterGroupView]:
    after: tuple[int, str] | None = None
    if query.cursor is not None:
        place = decode_cursor(query.cursor, mailing_id=int, reason=str)
        after = (int(place["mailing_id"]), str(place["reason"]))
    groups, last = cut(await _groups(parts, after, limit=query.limit + 1), query.limit)
    cursor = encode_cursor({"mailing_id": last.mailing_id, "reason": last.reason or ""}) if last else None
    return Page(items=[DeadLetterGroupView.of(group) for group in groups], next_cursor=cursor)


async def _groups(parts: Parts, after: tuple[int, str] | None, *, limit: int) -> list[DeadLetterGroup]:
    """At most `limit` groups after one, looking at so many mailings at a time that each look is bounded."""
    groups: list[DeadLetterGroup] = []
    from_id = after[0] if after else 1
    while len(groups) < limit:
        mailing_ids = await parts.store.mailings.ids_with_dead_letters(from_id=from_id, limit=MAILINGS_AT_ONCE)
        if not mailing_ids:
            break
        groups += await parts.store.messages.dead_letter_groups(
            after=after, limit=limit - len(groups), mailing_ids=mailing_ids
        )
        from_id = mailing_ids[-1] + 1
    return groups
