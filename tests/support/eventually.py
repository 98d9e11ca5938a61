"""Waiting for facts, not for durations."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(fact: Callable[[], Awaitable[T]], what: str, *, within_s: float = 60.0, every_s: float = 0.1) -> T:
    """The first true answer of `fact`; fails with the last one when none comes within the time."""
    answer: T | None = None
    try:
        async with asyncio.timeout(within_s):
            while not (answer := await fact()):
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {within_s} s; last seen: {answer!r}") from None
    return answer
