"""Mailing: a text for an audience in an interval of time. Its lifecycle, and what may be edited when, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.audience import Audience
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from shared.errors import Conflict, InvalidInput

DEFAULT_DURATION = timedelta(hours=24)
MAX_NAME_CHARACTERS = 200
MAX_RATE_PER_S = 1_000_000.0


class MailingStatus(StrEnum):
    """Where a mailing stands."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Action(StrEnum):
    """What an operator may ask of a mailing's lifecycle."""

    LAUNCH = "launch"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


DRAFT, SCHEDULED, RUNNING, PAUSED, COMPLETED, CANCELLED = MailingStatus

FINAL = frozenset({COMPLETED, CANCELLED})

ACTIONS: dict[Action, dict[MailingStatus, MailingStatus]] = {
    Action.LAUNCH: {DRAFT: SCHEDULED},
    Action.PAUSE: {SCHEDULED: PAUSED, RUNNING: PAUSED},
    Action.RESUME: {PAUSED: RUNNING},  # or SCHEDULED, if it never ran: see `resumed_status`
    Action.CANCEL: {DRAFT: CANCELLED, SCHEDULED: CANCELLED, RUNNING: CANCELLED, PAUSED: CANCELLED},
}
"""The status that each action leads to, from each status that allows it."""

ALREADY: dict[Action, frozenset[MailingStatus]] = {
    Action.LAUNCH: frozenset({SCHEDULED, RUNNING}),
    Action.PAUSE: frozenset({PAUSED}),
    Action.RESUME: frozenset({RUNNING, SCHEDULED}),
    Action.CANCEL: frozenset({CANCELLED}),
}
"""The statuses in which an action changes nothing, because what it asks for already holds."""

NEEDS_TIME_LEFT = frozenset({Action.LAUNCH, Action.PAUSE, Action.RESUME})
"""Actions that make no sense once `end_at` has passed."""

SCHEDULER_STEPS: dict[MailingStatus, frozenset[MailingStatus]] = {
    SCHEDULED: frozenset({RUNNING}),  # its start has come
    RUNNING: frozenset({COMPLETED, PAUSED}),  # nothing open is left; too many permanent failures
    PAUSED: frozenset({COMPLETED}),  # ended while paused
    COMPLETED: frozenset({RUNNING}),  # a message planned late was found open
}

EDITABLE_UNTIL_RUNNING = frozenset({"audience", "start_at", "on_unknown"})
EDITABLE_UNTIL_CLOSED = frozenset({"name", "text", "end_at", "local_window", "rate_per_s"})


@dataclass(frozen=True, slots=True)
class Mailing:
    """A mailing as operators see it.

    Delivery happens in the half-open interval [start_at, end_at). `rate_per_s` bounds the calls for this mailing by
    all senders together, None for no bound. `revision` counts edits, from 1. `started` tells whether it ever ran,
    `closed_at` when the scheduler took note that its end had passed, `fan_out_done` whether every client of the
    audience has a message. `statistics` are the frozen ones, None while there are none. `request_id` is of the request
    that acted on it last, for the logs of all that it brings about. `generation` counts how often the count of its
    outcomes has begun anew, by which it judges whether to pause itself: at each resume, and when it runs again.
    """

    id: int
    name: str
    text: str
    audience: Audience
    start_at: datetime | None
    end_at: datetime | None
    local_window: LocalWindow | None
    rate_per_s: float | None
    on_unknown: OnUnknown
    status: MailingStatus
    pause_reason: str | None = None
    started: bool = False
    closed_at: datetime | None = None
    revision: int = 1
    statistics: Mapping[str, object] | None = None
    request_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    fan_out_done: bool = False
    generation: int = 0


def check_times(start_at: datetime, end_at: datetime, now: datetime) -> None:
    """Whether a mailing could be delivered between two instants.

    Raises:
        InvalidInput: the end is not after the start, or not in the future.
    """
    if end_at <= start_at:
        raise InvalidInput("end_at", "must be after start_at")
    if end_at <= now:
        raise InvalidInput("end_at", "must be in the future")


def has_ended(mailing: Mailing, now: datetime) -> bool:
    """Whether the end has passed: by this clock, or by that of the scheduler that closed the mailing."""
    return mailing.closed_at is not None or (mailing.end_at is not None and mailing.end_at <= now)


def status_after(action: Action, mailing: Mailing, now: datetime) -> MailingStatus | None:
    """The status that an action leads to; None when it changes nothing, because what it asks for already holds.

    Raises:
        Conflict: the status forbids the action, or the mailing's end has passed.
    """
    if mailing.status in ALREADY[action]:
        return None
    target = ACTIONS[action].get(mailing.status)
    if target is None:
        raise Conflict(f"mailing_{mailing.status}", f"a mailing that is {mailing.status} cannot {action}")
    if action in NEEDS_TIME_LEFT and has_ended(mailing, now):
        raise Conflict("mailing_ended", f"the mailing's end has passed, so it cannot {action}")
    if action is Action.RESUME and not mailing.started:
        return SCHEDULED
    return target


def check_editable(mailing: Mailing, fields: frozenset[str], now: datetime) -> None:
    """Whether these fields may be changed as the mailing stands. The end of a draft that has passed can be moved.

    Raises:
        Conflict: it is final or its end has passed, or it has started and one of `EDITABLE_UNTIL_RUNNING` is asked for.
    """
    if mailing.status in FINAL:
        raise Conflict(f"mailing_{mailing.status}", f"a mailing that is {mailing.status} cannot be edited")
    if mailing.status is not DRAFT and has_ended(mailing, now):
        raise Conflict("mailing_ended", "the mailing's end has passed, so it cannot be edited")
    frozen = sorted(fields & EDITABLE_UNTIL_RUNNING)
    if frozen and mailing.started:
        raise Conflict("mailing_already_running", f"{', '.join(frozen)} cannot change once the mailing has started")
