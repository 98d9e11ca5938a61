"""What the tests of the sender's stages are made of: a clock that stands still, deliveries of a channel, tasks."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.sender.task import Claim, ClaimedTask, ReadyTask, Task
from shared.broker.acks import Acks
from shared.broker.delivery import Delivery
from shared.contracts.commands import SendCommand
from shared.domain.audience import Audience
from shared.domain.mailing import RUNNING, Mailing
from shared.domain.message import SENDING, OnUnknown
from shared.store.message_documents import ClaimedMessage, Standing

NOW = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)
MAILING_ID = 7
TOKEN = "a" * 24


class StillClock:
    """A clock that is moved by hand; both of its hands move together unless told otherwise."""

    def __init__(self) -> None:
        self._now = NOW
        self._monotonic_s = 1_000.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def pass_s(self, seconds: float, *, wall_s: float | None = None) -> None:
        self._monotonic_s += seconds
        self._now += timedelta(seconds=seconds if wall_s is None else wall_s)


class Channel:
    """A channel of the broker, as far as acks need one."""

    def __init__(self) -> None:
        self.is_closed = False
        self.acked: list[tuple[int, bool]] = []
        self._tags = 0
        self.acks = Acks(self)

    async def basic_ack(self, tag: int, multiple: bool = False, **_: object) -> None:
        self.acked.append((tag, multiple))

    def deliver(self, body: bytes, *, redelivered: bool = False) -> Delivery:
        self._tags += 1
        self.acks.delivered(self._tags)
        return Delivery(body, {}, redelivered, self._tags, self.acks)


class DoubtsNoted:
    """Doubts about the dead letters, noted at once."""

    def __init__(self) -> None:
        self.why: list[str] = []

    async def raise_one(self, why: str) -> None:
        self.why.append(why)


def command(message_id: int = 1, *, attempt: int = 1, recover: bool = False) -> SendCommand:
    return SendCommand(message_id=message_id, mailing_id=MAILING_ID, attempt=attempt, recover=recover)


def task(message_id: int = 1, *, attempt: int = 1, recover: bool = False, channel: Channel | None = None) -> Task:
    one = command(message_id, attempt=attempt, recover=recover)
    return Task(one, (channel or Channel()).deliver(one.to_body()), recover)


def message(message_id: int = 1, **fields: Any) -> ClaimedMessage:
    values: dict[str, Any] = {
        "mailing_id": MAILING_ID,
        "client_id": 100 + message_id,
        "phone": "79001234567",
        "timezone": "Europe/Moscow",
        "fields": {},
        "attempt": 1,
        "last_attempt": 6,
        "ambiguous": False,
        "replayed_after": 0,
    }
    return ClaimedMessage(id=message_id, **(values | fields))


def claimed(message_id: int = 1, *, at: datetime = NOW, at_s: float = 1_000.0, **fields: Any) -> ClaimedTask:
    one = message(message_id, **fields)
    return ClaimedTask(task(message_id, attempt=one.attempt), one, Claim(TOKEN, at, at_s))


def ready(message_id: int = 1, *, text: str = "Hello", end_at: datetime | None = None, **fields: Any) -> ReadyTask:
    return ReadyTask(claimed(message_id, **fields), mailing(end_at=end_at or NOW + timedelta(hours=1)), text)


def mailing(**fields: Any) -> Mailing:
    values: dict[str, Any] = {
        "id": MAILING_ID,
        "name": "a mailing",
        "text": "Hello",
        "audience": Audience(everyone=True),
        "start_at": NOW - timedelta(hours=1),
        "end_at": NOW + timedelta(hours=1),
        "local_window": None,
        "rate_per_s": None,
        "on_unknown": OnUnknown.RESEND,
        "status": RUNNING,
        "started": True,
        "revision": 3,
    }
    return Mailing(**(values | fields))


def standing(message_id: int = 1, **fields: Any) -> Standing:
    values: dict[str, Any] = {
        "mailing_id": MAILING_ID,
        "client_id": 100 + message_id,
        "status": SENDING,
        "attempt": 1,
        "last_attempt": 6,
        "ambiguous": False,
        "reason": None,
        "claim_token": TOKEN,
        "claimed_at": NOW,
        "replayed_after": 0,
    }
    return Standing(id=message_id, **(values | fields))
