"""Given how fast a provider is, when the prefetch is adapted, then it is about two seconds of work, or probes."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from services.sender import prefetch
from services.sender.breaker import Breaker
from services.sender.outcome import Verdict
from services.sender.prefetch import PROBE_PREFETCH, Prefetch, limited_prefetch, wanted_prefetch
from shared.domain.message import Outcome
from tests.unit.sender.parts import NOW, StillClock


def wanted(current: int, finished_per_s: float, *, has_more: bool = True) -> int:
    return wanted_prefetch(current, finished_per_s=finished_per_s, has_more=has_more, concurrency=64, most=564)


@pytest.mark.parametrize(
    ("current", "finished_per_s", "expected"),
    [
        (128, 6, 128),  # a provider that hangs: what is in flight, and as much again
        (128, 2_000, 564),  # a fast one: all that is allowed
        (564, 6, 128),  # it has become slow
        (564, 200, 564),  # a little slower is no reason to begin anew
        (300, 64, 300),
        (128, 150, 364),
        (500, 250, 564),
    ],
)
def test_it_follows_the_rate(current: int, finished_per_s: float, expected: int) -> None:
    assert wanted(current, finished_per_s) == expected


def test_a_sender_that_waits_for_work_keeps_what_it_has() -> None:
    assert wanted(564, 20, has_more=False) == 564


def test_a_sender_without_work_begins_anew() -> None:
    assert wanted(564, 0, has_more=False) == 128


@pytest.mark.parametrize(("rate_per_s", "expected"), [(0.1, 128), (50, 128), (400, 200), (10_000, 564)])
def test_with_a_limit_it_is_half_a_second_of_all_that_all_senders_may_do(rate_per_s: float, expected: int) -> None:
    assert limited_prefetch(64, rate_per_s, most=564) == expected


class Sender:
    """A sender with 100 commands, as far as the prefetch is concerned."""

    def __init__(self, *, rate_per_s: float | None = None) -> None:
        self.clock = StillClock()
        self.changed = asyncio.Event()
        self.breaker = Breaker(self.clock, report=lambda _: None, changed=self.changed.set)
        self.prefetch = 128
        self.held = 100
        self.kept: list[int] = []
        self.adapting = Prefetch(
            self,
            self.breaker,
            self,
            changed=self.changed,
            finished_per_s=lambda: 0,
            concurrency=64,
            most=564,
            rate_per_s=rate_per_s,
        )

    def set_prefetch(self, value: int) -> None:
        self.prefetch = value

    @property
    def has_some(self) -> bool:
        return self.held > 0

    def hand_over(self, *, keep: int) -> None:
        self.kept.append(keep)
        self.held = min(self.held, keep)

    def gets(self, count: int) -> bool:
        self.held = count
        return True

    async def until(self, *facts: Callable[[], bool]) -> None:
        adapting = asyncio.create_task(self.adapting.run())
        try:
            async with asyncio.timeout(10):
                for fact in facts:
                    while not fact():
                        await asyncio.sleep(0.001)
        finally:
            adapting.cancel()
            await asyncio.wait([adapting])


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "SETTLE_S", 0.001)
    monkeypatch.setattr(prefetch, "LOOK_EVERY_S", 0.01)


async def test_an_open_breaker_leaves_a_sender_with_what_the_probes_need(at_once: None) -> None:
    sender = Sender()
    sender.breaker.hear(Verdict(Outcome.UNAUTHORISED, "http_401"))
    await sender.until(
        lambda: sender.prefetch == PROBE_PREFETCH,
        lambda: sender.held == 0,
        lambda: sender.gets(7),  # under way to it when the prefetch was changed
        lambda: sender.held == PROBE_PREFETCH,
    )

    sender.breaker.hear(Verdict(Outcome.ACCEPTED, None))
    await sender.until(lambda: sender.prefetch == 128)


async def test_a_long_pause_does_so_too_and_ends_by_itself(at_once: None) -> None:
    sender = Sender()
    sender.breaker.pause(NOW + timedelta(minutes=10))
    await sender.until(lambda: sender.held == 0)

    sender.clock.pass_s(600)
    await sender.until(lambda: sender.prefetch == 128)


async def test_what_is_kept_for_probes_is_exchanged_now_and_then(
    at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "LONGEST_HELD_S", 0.05)
    sender = Sender()
    sender.breaker.pause(NOW + timedelta(hours=1))
    await sender.until(lambda: sender.kept.count(0) == 3)
    assert sender.kept[0] == 0, "what it held before does not count to the new consumer"
    assert PROBE_PREFETCH in sender.kept


async def test_a_limited_sender_goes_back_to_the_one_prefetch_that_it_has(at_once: None) -> None:
    sender = Sender(rate_per_s=400)
    sender.breaker.hear(Verdict(Outcome.UNAUTHORISED, "http_401"))
    await sender.until(lambda: sender.held == 0)
    sender.breaker.hear(Verdict(Outcome.ACCEPTED, None))
    await sender.until(lambda: sender.prefetch == 200)
