"""Record: outcomes -> the store, then the broker, then the ack; and what a record that matches nothing leads to."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import orjson

from services.sender.follow import Follower
from services.sender.hand import Hand
from services.sender.record import Finished, Recorder
from services.sender.task import Task
from shared.broker.publisher import Publication
from shared.domain.message import FAILED, RETRYING, SENT, UNKNOWN, MessageStatus, Outcome
from shared.domain.retry import LADDER
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.store.message_documents import Attempt
from shared.store.message_statuses import Record
from tests.unit.sender.parts import NOW, TOKEN, Channel, DoubtsNoted, StillClock, task


class Recording:
    """A recorder, its store and its broker; what happened, in order."""

    def __init__(self, *, store_away: int = 0, broker_away: int = 0) -> None:
        self.events: list[str] = []
        self.publications: list[Publication] = []
        self.judged: list[Task] = []
        self.counted: list[tuple[int, Outcome]] = []
        self.lost: set[int] = set()
        self.poison: set[int] = set()
        self.unpublishable = False
        self._store_away, self._broker_away = store_away, broker_away
        self.channel = Channel()
        self.hand = Hand()
        self.doubts = DoubtsNoted()
        self.follower = Follower(self, self.hand, doubt=self.doubts.raise_one)
        self.recorder = Recorder(
            self,
            self.follower,
            StillClock(),
            batch_size=100,
            batch_wait_s=0.005,
            report_store=lambda _: None,
            judge=self._judge,
            count=lambda one, outcome: self.counted.append((one.message_id, outcome)),
        )

    async def record(self, records: Sequence[Record], *, token: str, now: datetime) -> int:
        if self._store_away:
            self._store_away -= 1
            raise StoreUnavailable("away")
        message_ids = [one.message_id for one in records]
        if self.poison.intersection(message_ids):
            raise UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed")
        self.events.append(f"recorded {message_ids} under {token[:4]}")
        return len(self.lost.symmetric_difference(message_ids) - self.lost)

    async def publish(self, publication: Publication, *, within_s: float) -> None:
        if self.unpublishable:
            raise TypeError("a mistake of ours")
        if self._broker_away:
            self._broker_away -= 1
            raise BrokerUnavailable("away")
        self.events.append(f"published to {publication.exchange}")
        self.publications.append(publication)

    async def _judge(self, tasks: list[Task]) -> None:
        self.judged += tasks

    def put(self, message_id: int, status: MessageStatus, *, token: str = TOKEN, attempt: int = 1) -> Task:
        one = task(message_id, attempt=attempt, channel=self.channel)
        self.hand.take(one)
        record = Record(message_id, status, False, "http_503", None, Attempt(NOW, Outcome.REFUSED), 1)
        self.recorder.put(Finished(one, token, record, 100 + message_id, LADDER[0]))
        return one

    async def until_empty(self) -> None:
        running = asyncio.create_task(self.recorder.run())
        try:
            async with asyncio.timeout(5):
                while len(self.hand) > len(self.judged):
                    await asyncio.sleep(0.001)
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_one_update_for_a_batch_of_one_token() -> None:
    recording = Recording()
    for message_id in (1, 2, 3):
        recording.put(message_id, SENT)
    recording.put(4, SENT, token="bbbb")
    await recording.until_empty()

    assert recording.events == ["recorded [1, 2, 3] under aaaa", "recorded [4] under bbbb"]
    assert recording.counted == [(message_id, Outcome.REFUSED) for message_id in (1, 2, 3, 4)]


async def test_a_retry_is_published_with_the_next_attempt_after_the_record() -> None:
    recording = Recording()
    recording.put(1, RETRYING, attempt=2)
    await recording.until_empty()

    assert recording.events == ["recorded [1] under aaaa", "published to messages.retry"]
    [retry] = recording.publications
    assert retry.routing_key == "messages.retry.5s"
    assert orjson.loads(retry.body) == {"message_id": 1, "mailing_id": 7, "attempt": 3, "recover": False}


async def test_failed_and_unknown_leave_a_dead_letter_with_the_reason_and_sent_leaves_nothing() -> None:
    recording = Recording()
    recording.put(1, FAILED)
    recording.put(2, UNKNOWN)
    recording.put(3, SENT)
    await recording.until_empty()

    assert [one.exchange for one in recording.publications] == ["messages.dead"] * 2
    assert recording.publications[0].headers == {
        "x-mailrun-reason": "http_503",
        "x-mailrun-parked": False,
        "x-mailrun-mailing-id": 7,
        "x-mailrun-client-id": 101,
    }


async def test_store_and_broker_are_asked_until_they_answer_and_only_then_is_it_acked() -> None:
    recording = Recording(store_away=2, broker_away=2)
    recording.put(1, RETRYING)
    await recording.until_empty()

    assert recording.events == ["recorded [1] under aaaa", "published to messages.retry"]
    await recording.channel.acks.flush()
    assert recording.channel.acked == [(1, True)]


async def test_a_record_that_matches_nothing_sends_its_batch_to_be_judged_as_recovering() -> None:
    recording = Recording()
    first, second = recording.put(1, SENT), recording.put(2, RETRYING)
    recording.lost = {2}
    await recording.until_empty()

    assert recording.judged == [first, second]
    assert first.recover and second.recover
    assert recording.publications == recording.counted == []
    assert len(recording.hand) == 2  # they are not settled before they are judged


async def test_a_record_that_cannot_be_written_costs_its_message_and_no_other() -> None:
    recording = Recording()
    for message_id in (1, 2, 3):
        recording.put(message_id, SENT)
    recording.poison = {2}
    await recording.until_empty()

    assert recording.events == ["recorded [1] under aaaa", "recorded [3] under aaaa"]
    await recording.channel.acks.flush()
    assert recording.channel.acked == [(3, True)]  # the second is settled, too: a scheduler brings it back


async def test_what_cannot_be_published_does_not_hold_the_acks_up() -> None:
    recording = Recording()
    recording.unpublishable = True
    recording.put(1, RETRYING)
    await recording.until_empty()

    await recording.channel.acks.flush()
    assert recording.channel.acked == [(1, True)]


async def test_a_dead_letter_that_may_be_double_or_is_let_go_leaves_a_doubt_and_nothing_else_does() -> None:
    recording = Recording()
    recording.put(1, FAILED)
    recording.put(2, RETRYING)
    await recording.until_empty()
    assert recording.doubts.why == []

    recording = Recording(broker_away=1)
    recording.put(1, FAILED)
    await recording.until_empty()
    assert recording.doubts.why == ["letter_published_again"]

    recording = Recording()
    recording.unpublishable = True
    recording.put(1, FAILED)
    await recording.until_empty()
    assert recording.doubts.why == ["letter_let_go"]
