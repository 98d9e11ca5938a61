"""Clients, mailings and messages for tests of the store, with what does not matter filled in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.domain.audience import Audience
from shared.domain.client import Client
from shared.domain.mailing import DRAFT, RUNNING, Mailing
from shared.domain.message import QUEUED, SENDING, MessageStatus, OnUnknown, Outcome
from shared.store.mailing_documents import to_document
from shared.store.message_documents import Attempt, PlannedMessage
from shared.store.message_statuses import Record

Document = dict[str, Any]

PLANNED = {"upper_id": 10, "cursor": 10, "done": True}
"""The position of a fan-out that has come to its end."""

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""The moment at which every scenario begins."""


def after(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return T0 + timedelta(seconds=seconds)


def make_client(client_id: int, **fields: Any) -> Client:
    phone = f"7{9_000_000_000 + client_id}"
    made = Client(client_id, phone, phone[1:4], (), "Europe/Moscow", {}, None, T0, T0)
    return replace(made, **fields)


def client_document(client: Client) -> Document:
    """A client as the store keeps it, to be inserted in bulk past the store."""
    return {
        "_id": client.id,
        "phone": client.phone,
        "operator_code": client.operator_code,
        "tags": list(client.tags),
        "timezone": client.timezone,
        "attributes": dict(client.attributes),
        "opted_out_at": client.opted_out_at,
        "created_at": client.created_at,
        "updated_at": client.updated_at,
    }


def make_mailing(**fields: Any) -> Mailing:
    made = Mailing(
        id=0,
        name="spring",
        text="Hello",
        audience=Audience(everyone=True),
        start_at=after(10),
        end_at=after(3_600),
        local_window=None,
        rate_per_s=None,
        on_unknown=OnUnknown.RESEND,
        status=DRAFT,
    )
    return replace(made, **fields)


def mailing_document(mailing: Mailing, **fields: Any) -> Document:
    """A mailing as the store keeps it, in whatever state."""
    return to_document(replace(mailing, created_at=T0, updated_at=T0)) | fields


def running(mailing_id: int, **fields: Any) -> Document:
    """A running mailing, planned to the end, that wants to be looked at."""
    mailing = make_mailing(id=mailing_id, status=RUNNING)
    return mailing_document(mailing, **({"fan_out": PLANNED, "look_at": after(0)} | fields))


def make_planned(
    message_id: int, *, mailing_id: int = 1, client_id: int | None = None, **fields: Any
) -> PlannedMessage:
    made = PlannedMessage(
        id=message_id,
        mailing_id=mailing_id,
        client_id=message_id if client_id is None else client_id,
        phone="79001234567",
        operator_code="900",
        tags=("vip",),
        timezone="Europe/Moscow",
        fields={"name": "Ann"},
        status=QUEUED,
        due_at=after(600),
        last_attempt=5,
    )
    return replace(made, **fields)


def message_document(message_id: int, status: MessageStatus, **fields: Any) -> Document:
    """A message as the store keeps it, in any status; one that is sending has the claim "token"."""
    made = make_planned(message_id).to_document(T0) | {"status": status.value, "attempt": 1}
    if status is SENDING:
        made["claim"] = {"token": "token", "sender": "sender", "at": T0}
    return made | fields


def make_record(message_id: int, status: MessageStatus = MessageStatus.SENT, **fields: Any) -> Record:
    made = Record(
        message_id=message_id,
        status=status,
        ambiguous=False,
        reason=None,
        due_at=None,
        attempt=Attempt(after(2), Outcome.ACCEPTED, http_status=200, latency_ms=45),
        revision=1,
    )
    return replace(made, **fields)
