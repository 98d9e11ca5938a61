"""Deliver: who may start, what becomes of an outcome, and what a stop leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from services.sender.admission import Admission
from services.sender.breaker import FAILURES, Breaker
from services.sender.concurrency import Concurrency
from services.sender.deliver import Deliverer
from services.sender.ladder import Ladder
from services.sender.provider.provider import Answer, Call, Unsendable
from services.sender.rate import LOOKS_BEFORE_FIRST, Rate
from services.sender.record import Finished
from services.sender.task import ClaimedTask
from shared.domain.message import FAILED, RETRYING, SENT, UNKNOWN
from tests.unit.sender.parts import NOW, StillClock, ready

OK = Answer(200, b'{"code":0}', None, started=True, written=True, latency_ms=5)


class GivenBack:
    """What was given back, and how."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, int]] = []

    async def park(self, tasks: list[ClaimedTask], *, reason: str, due_at: datetime) -> None:
        self.acts += [(f"parked: {reason}", one.message.id) for one in tasks]

    async def hand_over(self, tasks: list[ClaimedTask]) -> None:
        self.acts += [("handed over", one.message.id) for one in tasks]

    async def put_off(self, tasks: list[ClaimedTask], *, reason: str) -> None:
        self.acts += [("put off", one.message.id) for one in tasks]


class Delivering:
    """A deliverer at work."""

    def __init__(
        self,
        answer: Callable[[Call], Awaitable[Answer]],
        *,
        concurrency: int = 2,
        backlog: int = 5,
        clock: StillClock | None = None,
        rate: Rate | None = None,
    ) -> None:
        self.clock = clock or StillClock()
        self.breaker = Breaker(self.clock, report=lambda state: self.told.append(state))
        self.concurrency = Concurrency(concurrency)
        self.given_back = GivenBack()
        self.finished: list[Finished] = []
        self.calls: list[Call] = []
        self.told: list[str] = []
        self.paused_until: list[datetime] = []
        self._answer = answer
        self.deliverer = Deliverer(
            self,
            self.given_back,
            Ladder(mend_after=timedelta(seconds=60)),
            self.clock,
            workers=concurrency,
            backlog=backlog,
            refusal_statuses=frozenset({429, 500, 503}),
            admission=Admission(self.clock, self.breaker, rate or Rate(None), self.concurrency),
            pause_all=self.pause_all,
            record=self.finished.append,
        )

    async def pause_all(self, until: datetime) -> None:
        self.paused_until.append(until)

    async def deliver(self, call: Call) -> Answer:
        if call.start_within_s() <= 0:
            return Answer(None, None, "no time left", started=False, written=False, latency_ms=None)
        self.calls.append(call)
        return await self._answer(call)

    async def until(self, fact: Callable[[], bool]) -> None:
        running = asyncio.create_task(self.deliverer.run())
        try:
            async with asyncio.timeout(5):
                while not fact():
                    await asyncio.sleep(0)
        finally:
            running.cancel()
            await asyncio.wait([running])

    @property
    def ended(self) -> int:
        return len(self.finished) + len(self.given_back.acts)


async def accept(_: Call) -> Answer:
    return OK


async def never(_: Call) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


def answers(answer: Answer) -> Callable[[Call], Awaitable[Answer]]:
    async def give(_: Call) -> Answer:
        return answer

    return give


async def test_an_accepted_message_is_sent_from_the_revision_that_was_read() -> None:
    delivering = Delivering(accept)
    delivering.deliverer.put(ready(1, text="Hello Ann"))
    await delivering.until(lambda: delivering.ended == 1)

    [one] = delivering.finished
    assert delivering.calls[0].text == "Hello Ann"
    assert (one.record.status, one.record.revision, one.record.reason) == (SENT, 3, None)
    assert delivering.told == []


async def test_a_refused_one_retries_and_the_last_attempt_fails() -> None:
    busy = Answer(503, b"", None, started=True, written=True, latency_ms=5)
    delivering = Delivering(answers(busy))
    delivering.deliverer.put(ready(1))
    delivering.deliverer.put(ready(2, attempt=6))
    delivering.deliverer.put(ready(3, attempt=6, ambiguous=True))
    await delivering.until(lambda: delivering.ended == 3)

    by_id = {one.record.message_id: one for one in delivering.finished}
    assert by_id[1].record.status is RETRYING
    assert by_id[1].record.due_at == NOW + timedelta(seconds=5 + 60)
    assert (by_id[2].record.status, by_id[2].record.due_at) == (FAILED, None)
    assert by_id[3].record.status is UNKNOWN
    assert by_id[1].record.reason == "http_503"


async def test_no_connection_is_no_attempt() -> None:
    delivering = Delivering(answers(Answer(None, None, "refused", started=True, written=False, latency_ms=1)))
    delivering.deliverer.put(ready(1, attempt=6))
    await delivering.until(lambda: delivering.ended == 1)

    assert delivering.given_back.acts == [("put off", 1)]


async def test_a_pause_that_the_provider_asks_for_is_told_to_all_and_uses_up_no_attempt() -> None:
    busy = Answer(429, b"", None, started=True, written=True, latency_ms=5, retry_after_s=7)
    delivering = Delivering(answers(busy), concurrency=1)
    delivering.deliverer.put(ready(1))
    delivering.deliverer.put(ready(2))
    await delivering.until(lambda: delivering.ended == 2)

    assert delivering.given_back.acts == [("put off", 1), ("handed over", 2)]
    assert delivering.paused_until == [NOW + timedelta(seconds=7)]
    assert len(delivering.calls) == 1
    assert delivering.deliverer.free() == 0


async def test_an_outage_lets_one_probe_through_at_a_time() -> None:
    away = Answer(None, None, "refused", started=True, written=False, latency_ms=1)
    delivering = Delivering(answers(away))
    for message_id in range(1, FAILURES + 6):
        delivering.deliverer.put(ready(message_id))
    await delivering.until(lambda: delivering.ended == FAILURES + 5)

    assert len(delivering.calls) == FAILURES
    assert [act for act, _ in delivering.given_back.acts[FAILURES:]] == ["handed over"] * 5
    assert delivering.deliverer.free() == 0
    assert "no_connection" in delivering.told[-1]


async def test_a_fault_of_ours_uses_up_no_attempt_and_makes_the_sender_unready() -> None:
    delivering = Delivering(answers(Answer(401, b"", None, started=True, written=True, latency_ms=5)))
    delivering.deliverer.put(ready(1))
    await delivering.until(lambda: delivering.ended == 1)

    assert delivering.given_back.acts == [("put off", 1)]
    assert "http_401" in delivering.told[0]


@pytest.mark.parametrize(
    ("age_s", "wall_s", "started"), [(14.9, 14.9, True), (15.0, 15.0, False), (0.0, 15.0, False), (15.0, 0.0, False)]
)
async def test_a_claim_is_too_old_by_whichever_clock_says_so(age_s: float, wall_s: float, started: bool) -> None:
    delivering = Delivering(accept)
    delivering.clock.pass_s(age_s, wall_s=wall_s)
    delivering.deliverer.put(ready(1))
    await delivering.until(lambda: delivering.ended == 1)

    assert bool(delivering.calls) is started
    assert delivering.given_back.acts == ([] if started else [("handed over", 1)])


async def test_nothing_starts_at_the_end_or_after_it() -> None:
    delivering = Delivering(accept)
    delivering.deliverer.put(ready(1, end_at=NOW + timedelta(seconds=1)))
    delivering.deliverer.put(ready(2, end_at=NOW))
    await delivering.until(lambda: delivering.ended == 2)

    assert [call.message_id for call in delivering.calls] == [1]
    assert delivering.given_back.acts == [("parked: mailing_ended", 2)]


async def test_a_stop_starts_no_call_and_hands_over_what_waits() -> None:
    delivering = Delivering(accept)
    for message_id in range(1, 101):
        delivering.deliverer.put(ready(message_id))
    delivering.deliverer.stop()
    await delivering.until(lambda: delivering.ended == 100)

    assert delivering.calls == []
    assert {act for act, _ in delivering.given_back.acts} == {"handed over"}


async def test_what_cannot_be_put_into_a_request_fails_without_a_call() -> None:
    async def refuse(_: Call) -> Answer:
        raise Unsendable("no phone")

    delivering = Delivering(refuse)
    delivering.deliverer.put(ready(1))
    await delivering.until(lambda: delivering.ended == 1)

    [one] = delivering.finished
    assert (one.record.status, one.record.reason, one.record.ambiguous) == (FAILED, "unsendable", False)


async def test_a_provider_that_raises_costs_its_message_and_no_worker() -> None:
    async def raise_once(call: Call) -> Answer:
        if call.message_id <= 2:
            raise ZeroDivisionError("a mistake of ours")
        return OK

    delivering = Delivering(raise_once, concurrency=2)
    for message_id in (1, 2, 3, 4):
        delivering.deliverer.put(ready(message_id))
    await delivering.until(lambda: delivering.ended == 4)

    by_id = {one.record.message_id: one.record for one in delivering.finished}
    assert (by_id[1].status, by_id[1].ambiguous) == (RETRYING, True)
    assert by_id[1].attempt.error == "ZeroDivisionError: a mistake of ours"
    assert by_id[3].status is by_id[4].status is SENT


async def test_free_places_are_idle_workers_and_what_the_last_second_has_finished() -> None:
    delivering = Delivering(accept, concurrency=2, backlog=3)
    deliverer = delivering.deliverer
    assert deliverer.free() == 2

    for message_id in range(1, 11):
        deliverer.put(ready(message_id))
    assert deliverer.free() == 0
    await delivering.until(lambda: delivering.ended == 10)

    assert deliverer.free() == 2 + 3  # ten finished within the second, the backlog is bounded
    delivering.clock.pass_s(1.001)
    assert deliverer.free() == 2


async def test_what_grew_too_old_to_be_called_says_nothing_of_how_fast_the_provider_is() -> None:
    delivering = Delivering(accept, concurrency=2, backlog=50)
    for message_id in range(1, 51):
        delivering.deliverer.put(ready(message_id))
    delivering.clock.pass_s(15.0)
    await delivering.until(lambda: delivering.ended == 50)

    assert {act for act, _ in delivering.given_back.acts} == {"handed over"}
    assert delivering.deliverer.free() == 2


async def test_whoever_waits_for_a_free_place_is_woken_by_each_call_that_ends() -> None:
    ending = asyncio.Event()

    async def wait(_: Call) -> Answer:
        await ending.wait()
        return OK

    delivering = Delivering(wait, concurrency=1, backlog=0)
    delivering.deliverer.put(ready(1))
    running = asyncio.create_task(delivering.deliverer.run())
    waiting = asyncio.create_task(delivering.deliverer.until_free())
    await asyncio.sleep(0.01)
    assert not waiting.done()

    ending.set()

    async with asyncio.timeout(5):
        await waiting
    running.cancel()
    await asyncio.wait([running])


async def test_a_wait_of_the_breaker_that_ends_while_it_is_asked_for_is_not_slept_over() -> None:
    """Nothing is under way that could wake whoever waits."""

    class Leaping(StillClock):
        reads = 0

        def monotonic_s(self) -> float:
            self.reads += 1
            return super().monotonic_s() + (10.0 if self.reads > 2 else 0.0)

    delivering = Delivering(accept, clock=Leaping())
    delivering.breaker.pause(NOW + timedelta(seconds=1))  # the first read; the second says that there is a wait

    async with asyncio.timeout(2):
        await delivering.deliverer.until_free()


async def test_a_rate_lets_calls_start_one_after_the_other_and_claims_what_a_second_takes() -> None:
    rate = Rate(10)
    delivering = Delivering(accept, concurrency=64, backlog=400, rate=rate)
    assert delivering.deliverer.free() == 0  # nobody knows yet how many share it
    for _ in range(LOOKS_BEFORE_FIRST):
        rate.see_senders(2)
    assert delivering.deliverer.free() == 5

    for message_id in range(1, 6):
        delivering.deliverer.put(ready(message_id))
    assert delivering.deliverer.free() == 0
    running = asyncio.create_task(delivering.deliverer.run())
    for ended in (1, 2, 3, 4, 5):
        delivering.clock.pass_s(0.21)
        async with asyncio.timeout(5):
            while delivering.ended < ended:
                await asyncio.sleep(0.001)
        assert len(delivering.calls) == ended
    running.cancel()
    await asyncio.wait([running])


async def test_a_refusal_for_too_many_calls_slows_a_sender_down_that_has_no_limit() -> None:
    busy = Answer(429, b"", None, started=True, written=True, latency_ms=5)
    delivering = Delivering(answers(busy), concurrency=2, backlog=400)
    delivering.deliverer.put(ready(1))
    await delivering.until(lambda: delivering.ended == 1)
    assert delivering.finished[0].record.status is RETRYING

    for message_id in range(2, 60):
        delivering.deliverer.put(ready(message_id))
    await delivering.until(lambda: len(delivering.calls) >= 2)
    assert len(delivering.calls) <= 3


async def test_a_pause_hands_over_at_once_what_waits_for_its_start() -> None:
    rate = Rate(10)
    for _ in range(LOOKS_BEFORE_FIRST):
        rate.see_senders(1)
    delivering = Delivering(accept, concurrency=2, backlog=5, rate=rate)
    delivering.breaker.pause(NOW + timedelta(seconds=30))
    delivering.clock.pass_s(0.2)
    for message_id in range(1, 9):
        delivering.deliverer.put(ready(message_id))
    await delivering.until(lambda: delivering.ended == 8)

    assert delivering.calls == []
    assert {act for act, _ in delivering.given_back.acts} == {"handed over"}


async def test_an_overloaded_provider_is_called_less_at_a_time() -> None:
    delivering = Delivering(never, concurrency=8, backlog=0)
    for _ in range(8):
        delivering.concurrency.hear(1_000.0, started_at_s=999.0, overloaded=True)
    assert delivering.deliverer.free() == 4
    for message_id in range(1, 17):
        delivering.deliverer.put(ready(message_id))
    running = asyncio.create_task(delivering.deliverer.run())
    async with asyncio.timeout(5):
        while len(delivering.calls) < 4:
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(delivering.calls) == 4
    running.cancel()
    await asyncio.wait([running])


async def test_a_call_that_has_not_started_when_a_pause_comes_does_not_start() -> None:
    async def pause_first(_: Call) -> Answer:
        delivering.breaker.pause(NOW + timedelta(seconds=30))
        return OK

    delivering = Delivering(pause_first, concurrency=2)
    delivering.deliverer.put(ready(1))
    delivering.deliverer.put(ready(2))
    await delivering.until(lambda: delivering.ended == 2)

    assert len(delivering.calls) == 1
    assert delivering.given_back.acts == [("handed over", 2)]


async def test_a_second_try_is_a_call_more_and_needs_the_rates_leave() -> None:
    rate = Rate(10)
    for _ in range(LOOKS_BEFORE_FIRST):
        rate.see_senders(1)
    delivering = Delivering(accept, rate=rate)
    delivering.clock.pass_s(0)
    delivering.deliverer.put(ready(1))
    delivering.clock.pass_s(0.11)
    await delivering.until(lambda: delivering.ended == 1)

    [call] = delivering.calls
    assert not call.may_try_again()
    delivering.clock.pass_s(0.11)
    assert call.may_try_again()


async def test_a_refusal_of_the_very_first_calls_counts_those_under_way_too() -> None:
    busy = Answer(429, b"", None, started=True, written=True, latency_ms=5)
    delivering = Delivering(answers(busy), concurrency=16, rate=(rate := Rate(None)))
    for message_id in range(1, 17):
        delivering.deliverer.put(ready(message_id))
    await delivering.until(lambda: delivering.ended == 16)
    assert rate.per_s(delivering.clock.monotonic_s()) == 8
