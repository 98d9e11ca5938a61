"""Facts: what is known of a run when it is over, as plain data for the checker. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from shared.domain.window import LocalWindow

T = TypeVar("T")

CLAIM_HEADER = "x-mailrun-claim"  # the launcher of the fault campaign writes it; the ledger keeps what begins so
CLAIM_LOST = "the sender was lost"  # what the history says of an attempt whose claim outlived its limit
NOT_YET = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A value that an operator has set: in force from some moment between `asked_at` and `answered_at`.

    `answered_at` is None when no answer ever came: then the value before may still be in force, or this one.
    """

    asked_at: datetime
    answered_at: datetime | None
    value: T


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the provider's ledger has it.

    Attributes:
        claimed_at: when its sender claimed the message; None where that is not known.
        started_at: when its sender looked at the clock for the last time that is known; None where it is not known.
        sender: pid of its sender.
    """

    message_id: int
    text: str
    arrived_at: datetime
    accepted: bool
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    sender: int | None = None

    @classmethod
    def from_ledger(cls, entry: Mapping[str, Any]) -> "Call":
        """An entry of `GET /ledger`."""
        claimed_at, started_at, sender = _claim_in(entry.get("headers") or {})
        return cls(
            message_id=entry["message_id"],
            text=entry["text"],
            arrived_at=datetime.fromisoformat(entry["arrived_at"]),
            accepted=entry["accepted"],
            claimed_at=claimed_at,
            started_at=started_at,
            sender=sender,
        )


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message as the store has it.

    Attributes:
        outcomes: those of its attempts, in their order.
        lost_claims: when those claims were made that were taken for lost.
        changed_at: when it was changed last.
    """

    id: int
    mailing_id: int
    client_id: int
    status: str
    ambiguous: bool
    attempt: int
    last_attempt: int
    outcomes: tuple[str, ...]
    lost_claims: tuple[datetime, ...] = ()
    changed_at: datetime | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "MessageFacts":
        """A document of the collection `messages`."""
        return cls(
            id=document["_id"],
            mailing_id=document["mailing_id"],
            client_id=document["client_id"],
            status=document["status"],
            ambiguous=document["ambiguous"],
            attempt=document["attempt"],
            last_attempt=document["last_attempt"],
            outcomes=tuple(attempt["outcome"] for attempt in document["attempts"]),
            lost_claims=tuple(one["at"] for one in document["attempts"] if one["error"] == CLAIM_LOST),
            changed_at=document["updated_at"],
        )


@dataclass(frozen=True, slots=True)
class MailingFacts:
    """A mailing that is over, and its history.

    Attributes:
        client_ids: its audience: each of them has one message, unless planning was cut short or the client left.
        texts, ends, runs: what the text, the end, and "calls may be made" have been, oldest first; the first of each
            is what it was created with.
        planned_whole: whether the fan-out went to its end: not so of one that was cancelled or deleted.
        deleted: whether it was deleted: it then has no messages any more.
        may_repeat: whether a call of unknown outcome may be repeated: `resend`, or after a replay.
        window, timezones: when clients may be called, by the timezone of each.
    """

    id: int
    client_ids: frozenset[int]
    texts: tuple[Change[str], ...]
    ends: tuple[Change[datetime], ...] = ()
    runs: tuple[Change[bool], ...] = ()
    planned_whole: bool = True
    deleted: bool = False
    may_repeat: bool = True
    window: LocalWindow | None = None
    timezones: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Freeze:
    """A process that was stopped (SIGSTOP) for a while."""

    pid: int
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole run.

    Attributes:
        dead_letters: message ids in `messages.dead`, one for each entry.
        parked: entries of it that carry no command.
        left: by client id, the opt-out or deletion.
        in_flight: how long a call may take from its sender's last look at the clock to the provider.
        claim_limit: a younger claim is never taken for lost.
    """

    mailings: Sequence[MailingFacts]
    messages: Sequence[MessageFacts]
    calls: Sequence[Call]
    dead_letters: Sequence[int] = ()
    parked: int = 0
    left: Mapping[int, Change[bool]] = field(default_factory=dict)
    freezes: Sequence[Freeze] = ()
    in_flight: timedelta = timedelta(seconds=2)
    claim_limit: timedelta = timedelta(seconds=30)

    def claimed_at(self, call: Call) -> datetime:
        """When the message was claimed, at the earliest."""
        return call.claimed_at or call.arrived_at - self.in_flight

    def started_at(self, call: Call) -> datetime:
        """When the call was started, at the earliest."""
        return call.started_at or call.arrived_at - self.in_flight

    def was_frozen(self, call: Call) -> bool:
        """Whether the sender was stopped between its look at the clock and the call, which no protocol can prevent."""
        return any(
            freeze.pid == call.sender
            and self.started_at(call) <= freeze.until
            and freeze.since <= call.arrived_at <= freeze.until + self.in_flight
            for freeze in self.freezes
        )


def in_force(history: Iterable[Change[T]], since: datetime, until: datetime) -> list[T]:
    """The values of which any may have been in force at some moment from `since` to `until`."""
    values: list[T] = []
    for change in history:
        if (change.answered_at or NOT_YET) <= since:
            values = [change.value]
        elif change.asked_at <= until:
            values.append(change.value)
    return values


def claim_header(claimed_at: datetime, started_at: datetime, sender: int) -> str:
    """What the launcher writes into a call."""
    return f"claimed={claimed_at.isoformat()} started={started_at.isoformat()} sender={sender}"


def _claim_in(headers: Mapping[str, str]) -> tuple[datetime | None, datetime | None, int | None]:
    parts = dict(part.split("=", 1) for part in headers.get(CLAIM_HEADER, "").split() if "=" in part)
    if not {"claimed", "started", "sender"} <= parts.keys():
        return None, None, None
    return (
        datetime.fromisoformat(parts["claimed"]),
        datetime.fromisoformat(parts["started"]),
        int(parts["sender"]),
    )
