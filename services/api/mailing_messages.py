"""What belongs to one mailing: its messages, and its revisions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.api.identifiers import PathId, QueryId
from services.api.incoming import StrictRoute
from services.api.instants import Instant, format_instant
from services.api.mailings import PATH
from services.api.message_views import MessageSummary
from services.api.paging import Page, PageQuery, cut, encode_cursor, id_after
from services.api.parts import PreparedParts
from shared.domain.mailing import Mailing
from shared.domain.message import MessageStatus
from shared.store.mailing_documents import document_value

router = APIRouter(prefix=PATH, tags=["mailings"], route_class=StrictRoute)


class MessageQuery(PageQuery):
    """What the list of a mailing's messages can be narrowed to."""

    status: list[MessageStatus] = Field([], description="any of these statuses")
    client_id: QueryId | None = Field(None, description="the message to this client")


class EditView(BaseModel):
    """A field that was edited."""

    field: str = Field(examples=["text"])
    before: Any
    after: Any


class RevisionView(BaseModel):
    """A revision of a mailing; the first is the mailing as it was created."""

    revision: int
    at: Instant
    edits: list[EditView] = Field(description="what it changed")
    sent: int = Field(description="how many messages were sent from it")


@router.get("/{mailing_id}/messages", summary="List a mailing's messages, by id")
async def list_mailing_messages(
    mailing_id: PathId, query: Annotated[MessageQuery, Query()], parts: PreparedParts
) -> Page[MessageSummary]:
    await parts.store.mailings.get(mailing_id)
    found = await parts.store.messages.page_of_mailing(
        mailing_id,
        statuses=tuple(query.status),
        client_id=query.client_id,
        after_id=id_after(query) or 0,
        limit=query.limit + 1,
    )
    messages, last = cut(found, query.limit)
    return Page(items=[MessageSummary.of(one) for one in messages], next_cursor=last and encode_cursor({"id": last.id}))


@router.get("/{mailing_id}/revisions", summary="List what was edited, and how many messages were sent from each")
async def list_revisions(
    mailing_id: PathId, query: Annotated[PageQuery, Query()], parts: PreparedParts
) -> Page[RevisionView]:
    after = id_after(query) or 0
    mailing = await parts.store.mailings.get(mailing_id)
    edited = await parts.store.mailings.revisions(mailing_id)
    sent = await parts.counts.sent_by_revision(mailing_id)
    revisions = [one for one in revisions_of(mailing, edited, sent) if one.revision > after]
    page, last = cut(revisions, query.limit)
    return Page(items=list(page), next_cursor=last and encode_cursor({"id": last.revision}))


def revisions_of(mailing: Mailing, edited: Sequence[Mapping[str, Any]], sent: Mapping[int, int]) -> list[RevisionView]:
    """The revisions of a mailing, oldest first.

    Args:
        mailing: as it is now.
        edited: as the store keeps them, `{revision, at, before}`: what a field became is what it was before the next
            edit of it, or what it is now.
        sent: number of messages sent by revision.
    """
    now: dict[str, Any] = {}
    views: list[RevisionView] = []
    for one in reversed(edited):
        edits = []
        for name, before in sorted(one["before"].items()):
            after = now[name] if name in now else document_value(getattr(mailing, name))
            edits.append(EditView(field=name, before=_shown(before), after=_shown(after)))
            now[name] = before
        revision = int(one["revision"])
        views.append(RevisionView(revision=revision, at=one["at"], edits=edits, sent=sent.get(revision, 0)))
    if mailing.created_at is not None:
        views.append(RevisionView(revision=1, at=mailing.created_at, edits=[], sent=sent.get(1, 0)))
    return views[::-1]


def _shown(value: object) -> object:
    return format_instant(value) if isinstance(value, datetime) else value
