"""Task: one delivered send command, and what a sender has in its hands on the way."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.broker.delivery import Delivery
from shared.contracts.commands import SendCommand
from shared.domain.mailing import Mailing
from shared.runtime.clock import Clock
from shared.store.message_documents import ClaimedMessage

CLAIM_LIMIT_S = 30.0  # an older claim has lost its sender: three times the longest request
END_LIMIT_S = 25.0  # every try has ended by this age; the rest is left for recording
START_LIMIT_S = 15.0  # no try starts at or after this age, so that it has time to end


@dataclass(eq=False, slots=True)
class Task:
    """A send command, the delivery to settle, and whether it is recovering: it then finishes what it finds.

    `generation` is that of the mailing as it was read after the claim; None before.
    """

    command: SendCommand
    delivery: Delivery
    recover: bool
    generation: int | None = None

    @property
    def message_id(self) -> int:
        return self.command.message_id


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of a batch: its token, and when it was made, by the wall clock and by the monotonic one."""

    token: str
    at: datetime
    at_s: float

    def age_s(self, clock: Clock, now: datetime) -> float:
        """Its age by whichever clock says more, seconds: a clock may be set, and a machine may sleep."""
        return max(clock.monotonic_s() - self.at_s, (now - self.at).total_seconds())


@dataclass(eq=False, slots=True)
class ClaimedTask:
    """A task whose message this sender has claimed."""

    task: Task
    message: ClaimedMessage
    claim: Claim


@dataclass(eq=False, slots=True)
class ReadyTask:
    """A claimed task that was checked: the mailing as read after the claim, and the text to deliver.

    `closes_at` is when the client's window closes, if that comes before the claim is too old; `start_before` is the
    first of all instants at which no call may start any more.
    """

    claimed: ClaimedTask
    mailing: Mailing
    text: str
    closes_at: datetime | None = None
    start_before: datetime = field(init=False)

    def __post_init__(self) -> None:
        ends = (self.claimed.claim.at + timedelta(seconds=START_LIMIT_S), self.mailing.end_at, self.closes_at)
        self.start_before = min(end for end in ends if end is not None)

    def start_within_s(self, clock: Clock) -> float:
        """Seconds left in which a call may start: until the claim is too old, the mailing's end, the window's."""
        of_claim_s = self.claimed.claim.at_s + START_LIMIT_S - clock.monotonic_s()
        return min(of_claim_s, (self.start_before - clock.now()).total_seconds())

    def end_within_s(self, clock: Clock) -> float:
        """Seconds left in which every try must have ended."""
        return END_LIMIT_S - self.claimed.claim.age_s(clock, clock.now())
