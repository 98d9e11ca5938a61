"""Wake-ups: an event about a mailing means that there may be something to do now, not only at the next tick.

The event carries no truth: the scheduler looks into the store. So each one is settled as it comes, whatever it says.
"""

import asyncio

from shared.broker.consumer import Consumer
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway
from shared.broker.topology import WAKEUPS_QUEUE

PREFETCH = 100


class Wakeups:
    """Sets `woken` whenever something happened to a mailing."""

    def __init__(self, gateway: Gateway) -> None:
        self.woken = asyncio.Event()
        self._arrived = asyncio.Event()
        self._consumer = Consumer(gateway, WAKEUPS_QUEUE, prefetch=PREFETCH, on_delivery=self._take)

    def _take(self, delivery: Delivery) -> None:
        delivery.settle()
        self.woken.set()
        self._arrived.set()

    async def run(self) -> None:
        """Consume and ack until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._consumer.run())
            group.create_task(self._ack())

    async def _ack(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._consumer.flush_acks()
