"""Brief cache: what is costly to count, kept for a second, and counted once however many ask at the same time.

What takes long to count may be told as it was a while ago, so that nobody waits for it and the store has time for its
own work: such a value is kept for ten times as long as it took, and then counted again behind whoever asks.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from shared.tasks import retrieve

KEPT_S = 1.0
KEPT_LOADS = 10  # so many times as long as its load took a large value is kept: a tenth of the store's time at most
MAX_ENTRIES = 1_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BriefCache(Generic[Key, Value]):
    """Values by key. Failures are not kept; of more than `MAX_ENTRIES` values the oldest go first."""

    def __init__(
        self,
        *,
        kept_s: float = KEPT_S,
        stale_s: float = 0.0,
        is_large: Callable[[Value], bool] = lambda _: False,
    ) -> None:
        """
        Args:
            stale_s: a large value is told up to this age, seconds, while it is loaded again.
            is_large: which ones these are.
        """
        self._kept_s = kept_s
        self._stale_s = stale_s
        self._is_large = is_large
        self._values: OrderedDict[Key, _Kept[Value]] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, loaded if it is not there or too old.

        Whoever asks while it is being loaded waits for the same load, which goes on if one of them goes away.
        """
        kept = self._values.get(key)
        age_s = asyncio.get_running_loop().time() - kept.at_s if kept is not None else 0.0
        may_be_stale = kept is not None and age_s < self._stale_s and self._is_large(kept.value)
        if kept is not None and age_s < max(self._kept_s, kept.took_s * KEPT_LOADS if may_be_stale else 0.0):
            return kept.value
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, load))
            task.add_done_callback(retrieve)
        return kept.value if kept is not None and may_be_stale else await asyncio.shield(task)

    async def _load(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        try:
            value = await load()
        finally:
            del self._loading[key]
        self._values[key] = _Kept(value, loop.time(), loop.time() - began_s)
        self._values.move_to_end(key)
        while len(self._values) > MAX_ENTRIES:
            self._values.popitem(last=False)
        return value


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Value]):
    """A value, when it was loaded, and how long that took; seconds of the loop's clock."""

    value: Value
    at_s: float
    took_s: float
