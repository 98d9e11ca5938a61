"""Brief cache: what is costly to count, kept for a second, and counted once however many ask at the same time."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

KEPT_S = 1.0
MAX_ENTRIES = 1_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BriefCache(Generic[Key, Value]):
    """Values by key. Failures are not kept; of more than `MAX_ENTRIES` values the oldest go first."""

    def __init__(self, *, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._values: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key, loaded if it is not there or older than a second.

        Whoever asks while it is being loaded waits for the same load, which goes on if one of them goes away.
        """
        kept = self._values.get(key)
        if kept is not None and asyncio.get_running_loop().time() - kept[0] < self._kept_s:
            return kept[1]
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key, load))
            task.add_done_callback(_take_note)
        return await asyncio.shield(task)

    async def _load(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        try:
            value = await load()
        finally:
            del self._loading[key]
        self._values[key] = (asyncio.get_running_loop().time(), value)
        self._values.move_to_end(key)
        while len(self._values) > MAX_ENTRIES:
            self._values.popitem(last=False)
        return value


def _take_note(task: asyncio.Task[Value]) -> None:
    """Look at a failure that nobody waits for any more, or asyncio complains that nobody did."""
    if not task.cancelled():
        task.exception()
