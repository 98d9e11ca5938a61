"""How a message is written in the store, and the views of it that services work with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.message import MessageStatus, Outcome
from shared.store.connection import Document


@dataclass(frozen=True, slots=True)
class PlannedMessage:
    """A message that is about to be planned. What the client is now stays in it."""

    id: int
    mailing_id: int
    client_id: int
    phone: str
    operator_code: str
    tags: tuple[str, ...]
    timezone: str
    fields: Mapping[str, str]
    status: MessageStatus
    due_at: datetime | None
    last_attempt: int
    reason: str | None = None

    def to_document(self, now: datetime) -> Document:
        return {
            "_id": self.id,
            "mailing_id": self.mailing_id,
            "client_id": self.client_id,
            "phone": self.phone,
            "operator_code": self.operator_code,
            "tags": list(self.tags),
            "timezone": self.timezone,
            "fields": dict(self.fields),
            "status": self.status.value,
            "due_at": self.due_at,
            "attempt": 0,
            "last_attempt": self.last_attempt,
            "replayed_after": 0,
            "ambiguous": False,
            "reason": self.reason,
            "revision": None,
            "attempts": [],
            "created_at": now,
            "sent_at": None,
            "updated_at": now,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to. `latency_ms` and `http_status` are None when no answer came, or no call was made."""

    at: datetime
    outcome: Outcome
    http_status: int | None = None
    latency_ms: int | None = None
    error: str | None = None

    def to_document(self) -> Document:
        return {
            "at": self.at,
            "outcome": self.outcome.value,
            "http_status": self.http_status,
            "latency_ms": self.latency_ms,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Message:
    """A message as readers see it."""

    id: int
    mailing_id: int
    client_id: int
    phone: str
    operator_code: str
    status: MessageStatus
    attempt: int
    ambiguous: bool
    reason: str | None
    revision: int | None
    due_at: datetime | None
    attempts: tuple[Attempt, ...]
    created_at: datetime
    sent_at: datetime | None
    updated_at: datetime

    @classmethod
    def from_document(cls, document: Document) -> "Message":
        return cls(
            id=int(document["_id"]),
            mailing_id=int(document["mailing_id"]),
            client_id=int(document["client_id"]),
            phone=document["phone"],
            operator_code=document["operator_code"],
            status=MessageStatus(document["status"]),
            attempt=document["attempt"],
            ambiguous=document["ambiguous"],
            reason=document["reason"],
            revision=document["revision"],
            due_at=document["due_at"],
            attempts=tuple(
                Attempt(one["at"], Outcome(one["outcome"]), one["http_status"], one["latency_ms"], one["error"])
                for one in document.get("attempts", ())
            ),
            created_at=document["created_at"],
            sent_at=document["sent_at"],
            updated_at=document["updated_at"],
        )


CLAIMED_FIELDS = (
    "mailing_id",
    "client_id",
    "phone",
    "timezone",
    "fields",
    "attempt",
    "last_attempt",
    "ambiguous",
)

REPLAYED_AFTER = "replayed_after"
"""Attempts at the last replay. Documents of before there was this field are read as never replayed."""


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message that a sender has just claimed, with all that it needs to deliver it."""

    id: int
    mailing_id: int
    client_id: int
    phone: str
    timezone: str
    fields: Mapping[str, str]
    attempt: int
    last_attempt: int
    ambiguous: bool
    replayed_after: int

    @classmethod
    def from_document(cls, document: Document) -> "ClaimedMessage":
        fields = {name: document[name] for name in CLAIMED_FIELDS}
        return cls(id=int(document["_id"]), replayed_after=document.get(REPLAYED_AFTER, 0), **fields)


STANDING_FIELDS = (
    "mailing_id",
    "client_id",
    "status",
    "attempt",
    "last_attempt",
    "ambiguous",
    "reason",
    "claim",
    REPLAYED_AFTER,
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a message stands: what is needed to judge a command that could not claim it."""

    id: int
    mailing_id: int
    client_id: int
    status: MessageStatus
    attempt: int
    last_attempt: int
    ambiguous: bool
    reason: str | None
    claim_token: str | None
    claimed_at: datetime | None
    replayed_after: int

    @classmethod
    def from_document(cls, document: Document) -> "Standing":
        claim = document.get("claim") or {}
        return cls(
            id=int(document["_id"]),
            mailing_id=int(document["mailing_id"]),
            client_id=int(document["client_id"]),
            status=MessageStatus(document["status"]),
            attempt=document["attempt"],
            last_attempt=document["last_attempt"],
            ambiguous=document["ambiguous"],
            reason=document["reason"],
            claim_token=claim.get("token"),
            claimed_at=claim.get("at"),
            replayed_after=document.get(REPLAYED_AFTER, 0),
        )
