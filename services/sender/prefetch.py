"""Prefetch: how many commands a sender may hold.

Three batches and what is in flight keep a fast provider busy; with a slow one they would be minutes of work, behind
which an urgent mailing stands. So it is what the sender has lately finished in two seconds, and what is in flight.

While the provider fails or has asked for a pause, it is what the probes need, and the rest is handed over: another
sender may be able to call. What is kept is exchanged every minute, since RabbitMQ closes the channel of a consumer that
holds a delivery for half an hour (`consumer_timeout`).
"""

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from services.sender.breaker import Breaker

LOOK_EVERY_S = 0.25
WORK_S = 2.0
LIMITED_WORK_S = 0.5
PROBE_PREFETCH = 2  # the probe, and the next one if that hangs
SETTLE_S = 0.2  # from the change until the broker brings no more than that
LONGEST_HELD_S = 60.0


def least_prefetch(concurrency: int) -> int:
    """What a sender begins with, and never falls below: what is in flight, and as much again."""
    return 2 * concurrency


def limited_prefetch(concurrency: int, rate_per_s: float, *, most: int) -> int:
    """What a sender holds whose rate is limited: half a second of all that all senders may do.

    It changes only while the sender holds back: the broker counts a consumer that begins anew twice until what it
    held is acked, and the others would take less than their share meanwhile.
    """
    return min(most, max(least_prefetch(concurrency), math.ceil(LIMITED_WORK_S * rate_per_s)))


def wanted_prefetch(current: int, *, finished_per_s: float, has_more: bool, concurrency: int, most: int) -> int:
    """What the prefetch should be: changed only for half as much again, or for half of it.

    Args:
        current: what it is.
        finished_per_s: calls that ended in the last second.
        has_more: whether unclaimed commands are at hand: without any, a low rate says nothing of the provider. But a
            sender without any work begins anew: nothing is known of the provider as it will be.
        concurrency: calls under way at once.
        most: upper bound.
    """
    wanted = min(most, max(least_prefetch(concurrency), round(concurrency + WORK_S * finished_per_s)))
    if wanted >= current * 1.5 or (wanted == most and current < most):
        return wanted
    may_shrink = has_more or not finished_per_s
    return wanted if may_shrink and wanted <= current / 2 else current


class PrefetchControl(Protocol):
    """A consumer."""

    @property
    def prefetch(self) -> int: ...

    def set_prefetch(self, prefetch: int) -> None: ...


class Holder(Protocol):
    """Whoever holds the commands that are not claimed."""

    @property
    def has_some(self) -> bool: ...

    def hand_over(self, *, keep: int) -> None: ...


class Prefetch:
    """Adapts the prefetch of one consumer."""

    def __init__(
        self,
        consumer: PrefetchControl,
        breaker: Breaker,
        holder: Holder,
        *,
        changed: asyncio.Event,
        finished_per_s: Callable[[], int],
        concurrency: int,
        most: int,
        rate_per_s: float | None,
    ) -> None:
        """
        Args:
            changed: set when the breaker opens, closes or is paused.
            finished_per_s: calls that ended in the last second.
            concurrency: calls under way at once.
            most: upper bound of the prefetch.
            rate_per_s: calls per second of all senders together; None for no limit.
        """
        self._limited = None if rate_per_s is None else limited_prefetch(concurrency, rate_per_s, most=most)
        self._consumer = consumer
        self._breaker = breaker
        self._holder = holder
        self._changed = changed
        self._finished_per_s = finished_per_s
        self._concurrency = concurrency
        self._most = most

    async def run(self) -> None:
        """Adapt until cancelled."""
        while True:
            await self._until_changed()
            self._changed.clear()
            if self._breaker.holds_back:
                await self._hold_back()
            else:
                self._adapt()

    async def _until_changed(self) -> None:
        """Wait for a change of the breaker, but not for longer than until it is time to look all the same."""
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._changed.wait()
        except TimeoutError:
            pass

    def _adapt(self) -> None:
        if self._limited is not None:
            self._consumer.set_prefetch(self._limited)
            return
        wanted = wanted_prefetch(
            self._consumer.prefetch,
            finished_per_s=self._finished_per_s(),
            has_more=self._holder.has_some,
            concurrency=self._concurrency,
            most=self._most,
        )
        self._consumer.set_prefetch(wanted)

    async def _hold_back(self) -> None:
        """Hold no more than the probes need until the provider can be called again."""
        self._consumer.set_prefetch(PROBE_PREFETCH)
        await asyncio.sleep(SETTLE_S)  # else what is handed over would be brought back at once
        loop = asyncio.get_running_loop()
        exchange_at_s = loop.time()  # what it held before, too: to the new consumer it does not count
        while self._breaker.holds_back:
            self._changed.clear()
            if loop.time() >= exchange_at_s:
                self._holder.hand_over(keep=0)
                exchange_at_s = loop.time() + LONGEST_HELD_S
            else:
                self._holder.hand_over(keep=PROBE_PREFETCH)
            await self._until_changed()
        self._adapt()
