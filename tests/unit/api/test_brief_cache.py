"""Brief cache: counted once however many ask, kept for a moment, never a failure."""

import asyncio

import pytest

from services.api import brief_cache
from services.api.brief_cache import BriefCache
from shared.errors import StoreUnavailable


class Counter:
    """Something costly: counts how often it was done; goes on when it is let."""

    def __init__(self) -> None:
        self.loads = 0
        self.let = asyncio.Event()

    async def load(self) -> int:
        self.loads += 1
        await self.let.wait()
        return self.loads


async def test_many_who_ask_at_once_share_one_load() -> None:
    cache, counter = BriefCache[str, int](), Counter()
    asking = [asyncio.create_task(cache.get("a", counter.load)) for _ in range(50)]
    await asyncio.sleep(0)
    counter.let.set()
    assert await asyncio.gather(*asking) == [1] * 50
    assert await cache.get("a", counter.load) == 1, "it is kept"
    assert await cache.get("b", counter.load) == 2, "by its key"


async def test_a_value_that_is_too_old_is_loaded_again() -> None:
    cache, counter = BriefCache[str, int](kept_s=0.0), Counter()
    counter.let.set()
    assert [await cache.get("a", counter.load) for _ in range(3)] == [1, 2, 3]


async def test_whoever_goes_away_takes_the_load_from_nobody() -> None:
    cache, counter = BriefCache[str, int](), Counter()
    first = asyncio.create_task(cache.get("a", counter.load))
    second = asyncio.create_task(cache.get("a", counter.load))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    counter.let.set()
    assert await second == 1


async def test_a_failure_reaches_whoever_asked_and_is_not_kept() -> None:
    cache = BriefCache[str, int]()

    async def fail() -> int:
        raise StoreUnavailable("away")

    failures = await asyncio.gather(*(cache.get("a", fail) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(failure, StoreUnavailable) for failure in failures)
    counter = Counter()
    counter.let.set()
    assert await cache.get("a", counter.load) == 1


async def test_it_holds_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brief_cache, "MAX_ENTRIES", 3)
    cache, counter = BriefCache[int, int](), Counter()
    counter.let.set()
    for key in range(5):
        await cache.get(key, counter.load)
    assert await cache.get(4, counter.load) == 5, "the youngest is there"
    assert await cache.get(0, counter.load) == 6, "the oldest is not"


async def test_a_large_value_is_told_as_it_was_while_it_is_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a large value that is older than it is kept
    monkeypatch.setattr(brief_cache, "KEPT_LOADS", 0)
    cache, counter = BriefCache[str, int](kept_s=0.0, stale_s=60.0, is_large=lambda _: True), Counter()
    counter.let.set()
    assert await cache.get("a", counter.load) == 1

    # When it is asked for while the next load takes its time, then it is told as it was
    counter.let.clear()
    assert [await cache.get("a", counter.load) for _ in range(3)] == [1, 1, 1]
    await asyncio.sleep(0)
    assert counter.loads == 2, "one load behind them all"

    # And when that is done, then it is what it is now
    counter.let.set()
    for _ in range(3):
        await asyncio.sleep(0)
    counter.let.clear()
    assert await cache.get("a", counter.load) == 2
    counter.let.set()


async def test_what_is_older_than_that_is_waited_for() -> None:
    cache, counter = BriefCache[str, int](kept_s=0.0, stale_s=0.0, is_large=lambda _: True), Counter()
    counter.let.set()
    assert [await cache.get("a", counter.load) for _ in range(3)] == [1, 2, 3]


async def test_a_large_value_is_kept_for_ten_times_as_long_as_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brief_cache, "KEPT_LOADS", 1_000_000)
    cache, counter = BriefCache[str, int](kept_s=0.0, stale_s=60.0, is_large=lambda _: True), Counter()
    counter.let.set()
    assert [await cache.get("a", counter.load) for _ in range(3)] == [1, 1, 1]
    await asyncio.sleep(0)
    assert counter.loads == 1
