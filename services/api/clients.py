"""Clients: the directory of recipients."""

from collections.abc import Mapping
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import BeforeValidator, Field

from services.api.client_views import ClientBody, ClientPatch, ClientView
from services.api.etags import answer_unless_known, check_if_match, etag, is_conditional, json_answer
from services.api.identifiers import PathId
from services.api.incoming import StrictRoute
from services.api.instants import later_than
from services.api.merge_patch import merged
from services.api.message_views import MessageSummary
from services.api.paging import Page, PageQuery, cut, encode_cursor, id_after
from services.api.parts import Parts, PreparedParts
from services.api.validated import validated
from shared.contracts.events import MailingEventKind
from shared.domain.client import Client, check_text, mask_phone, operator_code_of
from shared.errors import Conflict
from shared.store.clients import ClientFilter

PATH = "/api/v1/clients"
CHANGE_TRIES = 5
MAX_FILTER_CHARACTERS = 100

log = structlog.get_logger()
router = APIRouter(prefix=PATH, tags=["clients"], route_class=StrictRoute)


def _parse_truth(text: object) -> object:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


TrueOrFalse = Annotated[bool, BeforeValidator(_parse_truth)]


class ClientQuery(PageQuery):
    """What a list of clients can be narrowed to."""

    phone: str | None = Field(None, description="exactly this phone")
    operator_code: list[str] = Field([], description="any of these operator codes")
    tag: list[str] = Field([], description="any of these tags")
    opted_out: TrueOrFalse | None = Field(None, description="only those who opted out, or only those who did not")

    def to_filter(self) -> ClientFilter:
        """
        Raises:
            InvalidInput: a value that no client can have.
        """
        for name, values in (("phone", [self.phone]), ("operator_code", self.operator_code), ("tag", self.tag)):
            for value in values:
                if value is not None:
                    check_text(name, value, max_characters=MAX_FILTER_CHARACTERS)
        return ClientFilter(self.phone, tuple(self.operator_code), tuple(self.tag), self.opted_out)


@router.post("", status_code=201, summary="Add a client", response_model=ClientView)
async def create_client(body: ClientBody, parts: PreparedParts) -> Response:
    client = await parts.store.clients.create(body.to_client(), parts.clock.now())
    log.info("client.created", client_id=client.id, phone=mask_phone(client.phone))
    headers = {"Location": f"{PATH}/{client.id}", "ETag": _etag(client)}
    return json_answer(ClientView.of(client), status=201, headers=headers)


@router.get("", summary="List clients, by id")
async def list_clients(query: Annotated[ClientQuery, Query()], parts: PreparedParts) -> Page[ClientView]:
    found = await parts.store.clients.page(query.to_filter(), after_id=id_after(query) or 0, limit=query.limit + 1)
    clients, last = cut(found, query.limit)
    return Page(items=[ClientView.of(one) for one in clients], next_cursor=last and encode_cursor({"id": last.id}))


@router.get("/{client_id}", summary="Show a client", response_model=ClientView)
async def show_client(client_id: PathId, request: Request, parts: PreparedParts) -> Response:
    client = await parts.store.clients.get(client_id)
    return answer_unless_known(request, ClientView.of(client), _etag(client))


@router.patch("/{client_id}", summary="Change a client, or opt it out", response_model=ClientView)
async def change_client(client_id: PathId, patch: ClientPatch, request: Request, parts: PreparedParts) -> Response:
    asked = patch.model_dump(exclude_unset=True)
    client = await _change(client_id, asked, request, parts)
    if client.opted_out_at is not None and "opted_out_at" in asked:
        # Repeated with each such PATCH: the one before may have died between the two writes.
        await _cancel_messages(client_id, parts, reason="client_opted_out")
    return json_answer(ClientView.of(client), headers={"ETag": _etag(client)})


@router.delete("/{client_id}", status_code=204, summary="Remove a client; its unsent messages are cancelled")
async def delete_client(client_id: PathId, request: Request, parts: PreparedParts) -> None:
    client = await parts.store.clients.get(client_id)
    check_if_match(request, _etag(client))
    await parts.store.clients.delete(client_id, if_updated_at=client.updated_at if is_conditional(request) else None)
    log.info("client.deleted", client_id=client_id, phone=mask_phone(client.phone))
    await _cancel_messages(client_id, parts, reason="client_deleted")


@router.get("/{client_id}/messages", summary="List the messages to a client, by id")
async def list_client_messages(
    client_id: PathId, query: Annotated[PageQuery, Query()], parts: PreparedParts
) -> Page[MessageSummary]:
    await parts.store.clients.get(client_id)
    found = await parts.store.messages.page_of_client(client_id, after_id=id_after(query) or 0, limit=query.limit + 1)
    messages, last = cut(found, query.limit)
    return Page(items=[MessageSummary.of(one) for one in messages], next_cursor=last and encode_cursor({"id": last.id}))


async def _change(client_id: int, asked: Mapping[str, Any], request: Request, parts: Parts) -> Client:
    """Change a client, looking again whenever somebody else changes it at the same time.

    Raises:
        Conflict: `phone_taken`, or it was changed by others all the time.
    """
    for _ in range(CHANGE_TRIES):
        seen = await parts.store.clients.get(client_id)
        check_if_match(request, _etag(seen))
        changes = _changes(seen, asked)
        if not changes:
            return seen
        now = later_than(seen.updated_at, parts.clock.now())
        try:
            client = await parts.store.clients.update(client_id, changes, now, if_updated_at=seen.updated_at)
        except Conflict as conflict:
            if conflict.code != "client_changed":
                raise
        else:
            log.info("client.changed", client_id=client_id, fields=sorted(changes))
            return client
    raise Conflict("client_changed", "the client is being changed by others all the time, try again")


def _changes(seen: Client, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that get other values. The whole that results obeys the rules of a new client."""
    fields = {"phone": seen.phone, "tags": list(seen.tags), "timezone": seen.timezone, "attributes": seen.attributes}
    if seen.operator_code != operator_code_of(seen.phone):  # else it follows the phone
        fields["operator_code"] = seen.operator_code
    patch = {name: value for name, value in asked.items() if name != "opted_out_at"}
    wanted = validated(ClientBody, merged(fields, patch)).to_client()
    names = ["phone", "operator_code", "tags", "timezone", "attributes"]
    changes = {name: getattr(wanted, name) for name in names if getattr(wanted, name) != getattr(seen, name)}
    if "opted_out_at" in asked and asked["opted_out_at"] != seen.opted_out_at:
        changes["opted_out_at"] = asked["opted_out_at"]
    return changes


async def _cancel_messages(client_id: int, parts: Parts, *, reason: str) -> None:
    """Cancel what is unsent to a client, and wake the scheduler for mailings that may be complete now."""
    now = parts.clock.now()
    await parts.store.dead_letter_state.doubt_client(client_id, now)
    mailing_ids = await parts.store.message_statuses.cancel_of_client(client_id, reason=reason, now=now)
    await parts.store.mailings.look_soon(mailing_ids, now)
    for mailing_id in mailing_ids:
        parts.events.happened(MailingEventKind.UPDATED, mailing_id, now)
    log.info("client.messages_cancelled", client_id=client_id, reason=reason, mailing_ids=mailing_ids)


def _etag(client: Client) -> str:
    return etag("client", client.id, client.updated_at and client.updated_at.isoformat())
