"""Message: one mailing to one client. Its statuses, and every step from one to another, as data."""

from enum import StrEnum


class MessageStatus(StrEnum):
    """Where a message stands. Exactly one of these at any time."""

    WAITING = "waiting"  # for its local window, or for a mailing that does not run
    QUEUED = "queued"  # a send command is on its way, or due to be
    SENDING = "sending"  # claimed by a sender
    RETRYING = "retrying"  # refused for now; the next attempt waits in the ladder
    SENT = "sent"  # accepted by the provider, at least once
    FAILED = "failed"  # refused for good, or out of attempts; never accepted
    EXPIRED = "expired"  # the mailing ended first; never accepted
    CANCELLED = "cancelled"  # the mailing was cancelled or the client left; never accepted
    UNKNOWN = "unknown"  # may have been accepted, and nobody can know


class Actor(StrEnum):
    """Who takes a step."""

    SCHEDULER = "scheduler"
    SENDER = "sender"
    API = "api"


class Outcome(StrEnum):
    """What became of one attempt."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # certainly not accepted; a later attempt may succeed
    UNKNOWN = "unknown"  # may have been accepted
    PERMANENT = "permanent"  # certainly not accepted, and never will be
    UNAUTHORISED = "unauthorised"  # certainly not accepted, and the fault is ours


WAITING, QUEUED, SENDING, RETRYING = (
    MessageStatus.WAITING,
    MessageStatus.QUEUED,
    MessageStatus.SENDING,
    MessageStatus.RETRYING,
)
SENT, FAILED, EXPIRED, CANCELLED, UNKNOWN = (
    MessageStatus.SENT,
    MessageStatus.FAILED,
    MessageStatus.EXPIRED,
    MessageStatus.CANCELLED,
    MessageStatus.UNKNOWN,
)

OPEN = frozenset({WAITING, QUEUED, SENDING, RETRYING})
FINAL = frozenset({SENT, FAILED, EXPIRED, CANCELLED, UNKNOWN})
CLAIMABLE = frozenset({QUEUED, RETRYING})
UNSENT = frozenset({WAITING, QUEUED, RETRYING})  # open, and no sender is at it
DEAD = frozenset({FAILED, UNKNOWN})  # these have an entry among the dead letters

PLANNED_AS: frozenset[MessageStatus] = frozenset({QUEUED, WAITING, EXPIRED})

STEPS: dict[MessageStatus, dict[MessageStatus, frozenset[Actor]]] = {
    WAITING: {
        QUEUED: frozenset({Actor.SCHEDULER}),
        EXPIRED: frozenset({Actor.SCHEDULER}),
        CANCELLED: frozenset({Actor.SCHEDULER, Actor.API}),
        UNKNOWN: frozenset({Actor.SCHEDULER, Actor.API}),
    },
    QUEUED: {
        SENDING: frozenset({Actor.SENDER}),
        EXPIRED: frozenset({Actor.SCHEDULER}),
        CANCELLED: frozenset({Actor.SCHEDULER, Actor.API}),
        UNKNOWN: frozenset({Actor.SCHEDULER, Actor.API}),
    },
    RETRYING: {
        SENDING: frozenset({Actor.SENDER}),
        EXPIRED: frozenset({Actor.SCHEDULER}),
        CANCELLED: frozenset({Actor.SCHEDULER, Actor.API}),
        UNKNOWN: frozenset({Actor.SCHEDULER, Actor.API}),
    },
    SENDING: {
        QUEUED: frozenset({Actor.SENDER}),  # handed back: no call was made
        WAITING: frozenset({Actor.SENDER}),  # parked: the mailing says "not now"
        CANCELLED: frozenset({Actor.SENDER}),  # the client is gone or opted out
        SENT: frozenset({Actor.SENDER}),
        RETRYING: frozenset({Actor.SENDER}),
        FAILED: frozenset({Actor.SENDER}),
        UNKNOWN: frozenset({Actor.SENDER}),
    },
    FAILED: {QUEUED: frozenset({Actor.SCHEDULER})},  # replayed
    UNKNOWN: {QUEUED: frozenset({Actor.SCHEDULER})},  # replayed
    SENT: {},
    EXPIRED: {},
    CANCELLED: {},
}


class OnUnknown(StrEnum):
    """What to do when nobody can know whether a call was accepted."""

    RESEND = "resend"  # try again, marked ambiguous
    HOLD = "hold"  # stop, and wait for a person


def status_after(
    outcome: Outcome, *, attempt: int, last_attempt: int, ambiguous: bool, on_unknown: OnUnknown
) -> tuple[MessageStatus, bool]:
    """What an attempt's outcome makes of a message: its status, and whether it is ambiguous from now on.

    Args:
        outcome: of the attempt; UNAUTHORISED is judged like REFUSED.
        attempt: 1-based number of the attempt.
        last_attempt: the attempt after which a message is given up.
        ambiguous: whether an earlier call's outcome was unknown.
        on_unknown: the mailing's policy.
    """
    if outcome is Outcome.ACCEPTED:
        return SENT, ambiguous
    if outcome is Outcome.UNKNOWN:
        ambiguous = True
        if on_unknown is OnUnknown.HOLD:
            return UNKNOWN, ambiguous
    if outcome is not Outcome.PERMANENT and attempt < last_attempt:
        return RETRYING, ambiguous
    return given_up(FAILED, ambiguous=ambiguous), ambiguous


def given_up(status: MessageStatus, *, ambiguous: bool) -> MessageStatus:
    """How a message ends that is not sent: nobody can say `failed` of what may have been accepted."""
    return UNKNOWN if ambiguous else status
