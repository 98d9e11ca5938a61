"""Given fellows and a pause that nobody tells of, when they are looked at, then an outage of who knows is survived."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.sender import watch
from services.sender.rate import LOOKS_BEFORE_FIRST, Rate
from services.sender.watch import watch_pause, watch_senders
from shared.broker.queues import Depth
from shared.errors import BrokerUnavailable, StoreUnavailable
from tests.unit.sender.parts import NOW


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SENDERS_EVERY_S", 0)
    monkeypatch.setattr(watch, "PAUSE_EVERY_S", 0)


class Answers:
    """Broker and store: each look gets the next answer, the last one again and again."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.looks = 0

    def _next(self) -> Any:
        answer = self.answers[min(self.looks, len(self.answers) - 1)]
        self.looks += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def depth(self, _: str) -> Depth:
        return Depth(ready=7, consumers=self._next())

    async def paused_until(self) -> datetime | None:
        until: datetime | None = self._next()
        return until


async def watch_for(watching: Coroutine[Any, Any, None], answers: Answers, looks: int) -> None:
    task = asyncio.create_task(watching)
    async with asyncio.timeout(5):
        while answers.looks < looks:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_a_broker_that_is_away_leaves_the_last_number() -> None:
    rate = Rate(60)
    answers = Answers(*[3] * LOOKS_BEFORE_FIRST, BrokerUnavailable("gone"), ZeroDivisionError("a mistake of ours"))
    await watch_for(watch_senders(rate, answers), answers, LOOKS_BEFORE_FIRST + 10)
    assert rate.per_s(0) == 20

    answers = Answers(2)
    await watch_for(watch_senders(rate, answers), answers, 20)
    assert rate.per_s(0) == 30


async def test_without_a_limit_nobody_asks_how_many_they_are() -> None:
    answers = Answers(3)
    await watch_senders(Rate(None), answers)
    assert answers.looks == 0


async def test_a_pause_is_told_whenever_the_store_knows_of_one() -> None:
    until, later = NOW + timedelta(seconds=5), NOW + timedelta(seconds=9)
    answers = Answers(None, until, StoreUnavailable("gone"), ZeroDivisionError("a mistake of ours"), later)
    told: list[datetime] = []
    await watch_for(watch_pause(answers, told.append), answers, 6)
    assert told[:2] == [until, later]
