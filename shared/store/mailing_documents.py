"""How a mailing is written in the store: one document with its lease, its fan-out's position and its history."""

from dataclasses import dataclass
from datetime import datetime

from shared.domain.audience import Audience
from shared.domain.mailing import Mailing, MailingStatus
from shared.domain.message import MessageStatus, OnUnknown
from shared.domain.window import LocalWindow, parse_local_time
from shared.store.connection import Document

DOMAIN_FIELDS = ("name", "text", "start_at", "end_at", "rate_per_s", "pause_reason", "closed_at", "revision")


@dataclass(frozen=True, slots=True)
class FanOut:
    """How far the planning of a mailing's messages has come.

    `upper_id` is the greatest client id that belongs to it, fixed at the start; `cursor` the id up to which clients
    have been planned.
    """

    upper_id: int
    cursor: int
    done: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay that was asked for and is not done yet. Empty means no bound."""

    asked_at: datetime
    statuses: tuple[MessageStatus, ...]
    reason: str | None
    message_ids: tuple[int, ...]


def to_document(mailing: Mailing) -> Document:
    """The document of a new mailing, not yet looked after by any scheduler."""
    return {
        "_id": mailing.id,
        **{name: getattr(mailing, name) for name in DOMAIN_FIELDS},
        "audience": audience_document(mailing.audience),
        "local_window": window_document(mailing.local_window),
        "on_unknown": mailing.on_unknown.value,
        "status": mailing.status.value,
        "lease": None,
        "served_at": None,
        "look_at": mailing.start_at if mailing.status is not MailingStatus.DRAFT else None,
        "paced_until": None,
        "fan_out": None,
        "replays": [],
        "window_changed": False,
        "statistics": None,
        "deleted_at": None,
        "revisions": [],
        "generation": mailing.generation,
        "request_id": mailing.request_id,
        "created_at": mailing.created_at,
        "updated_at": mailing.updated_at,
    }


def from_document(document: Document) -> Mailing:
    """The mailing that a document holds."""
    fan_out = document.get("fan_out")
    return Mailing(
        id=int(document["_id"]),
        name=document["name"],
        text=document["text"],
        start_at=document["start_at"],
        end_at=document["end_at"],
        rate_per_s=document["rate_per_s"],
        pause_reason=document["pause_reason"],
        closed_at=document["closed_at"],
        revision=document["revision"],
        audience=_audience(document["audience"]),
        local_window=_window(document.get("local_window")),
        on_unknown=OnUnknown(document["on_unknown"]),
        status=MailingStatus(document["status"]),
        started=fan_out is not None,
        fan_out_done=bool(fan_out and fan_out["done"]),
        generation=document.get("generation", 0),
        statistics=document.get("statistics"),
        request_id=document.get("request_id"),
        created_at=document.get("created_at"),
        updated_at=document.get("updated_at"),
    )


def fan_out_of(document: Document) -> FanOut | None:
    """The fan-out's position; None before the start."""
    fan_out = document.get("fan_out")
    return FanOut(int(fan_out["upper_id"]), int(fan_out["cursor"]), bool(fan_out["done"])) if fan_out else None


def replay_document(replay: Replay) -> Document:
    """How a replay that was asked for is kept in its mailing."""
    return {
        "asked_at": replay.asked_at,
        "statuses": [status.value for status in replay.statuses],
        "reason": replay.reason,
        "message_ids": list(replay.message_ids),
    }


def replays_of(document: Document) -> tuple[Replay, ...]:
    """The replays that were asked for, oldest first."""
    return tuple(
        Replay(
            asked_at=one["asked_at"],
            statuses=tuple(MessageStatus(status) for status in one["statuses"]),
            reason=one["reason"],
            message_ids=tuple(one["message_ids"]),
        )
        for one in document.get("replays") or ()
    )


def audience_document(audience: Audience) -> Document:
    return {
        "operator_codes": list(audience.operator_codes),
        "tags": list(audience.tags),
        "everyone": audience.everyone,
    }


def window_document(window: LocalWindow | None) -> Document | None:
    return {"start": f"{window.start:%H:%M}", "end": f"{window.end:%H:%M}"} if window else None


def document_value(value: object) -> object:
    """How the value of a field is kept."""
    if isinstance(value, Audience):
        return audience_document(value)
    if isinstance(value, LocalWindow):
        return window_document(value)
    return value.value if isinstance(value, OnUnknown) else value


def _audience(document: Document) -> Audience:
    return Audience(tuple(document["operator_codes"]), tuple(document["tags"]), document["everyone"])


def _window(document: Document | None) -> LocalWindow | None:
    if document is None:
        return None
    return LocalWindow(parse_local_time("start", document["start"]), parse_local_time("end", document["end"]))
