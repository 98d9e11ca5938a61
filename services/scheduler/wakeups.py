"""Wake-ups: an event about a mailing means that there may be something to do now, not only at the next tick.

The event carries no truth: the scheduler looks into the store. So each one is settled as it comes. What is no event, or
of a version that this scheduler does not know, is parked among the dead letters with its reason, and acked when that is
confirmed.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.broker.consumer import Consumer
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway
from shared.broker.parking import park
from shared.broker.publisher import Publisher
from shared.broker.topology import WAKEUPS_QUEUE
from shared.contracts.events import MailingEvent
from shared.contracts.version import Unparseable

PREFETCH = 20  # events are few; bodies that are none may be large, and all of them are held until they are parked

log = structlog.get_logger()


class Wakeups:
    """Sets `woken` whenever something happened to a mailing."""

    def __init__(self, gateway: Gateway, publisher: Publisher, *, doubt: Callable[[str], Awaitable[None]]) -> None:
        """
        Args:
            publisher: for what is parked.
            doubt: told when something was parked.
        """
        self._publisher = publisher
        self._doubt = doubt
        self.woken = asyncio.Event()
        self._parking: asyncio.TaskGroup | None = None
        self._arrived = asyncio.Event()
        self._consumer = Consumer(gateway, WAKEUPS_QUEUE, prefetch=PREFETCH, on_delivery=self._take)

    def _take(self, delivery: Delivery) -> None:
        """Wake up at once; a bounded number is parked at a time, since no more are delivered than the prefetch."""
        if problem := _problem(delivery):
            log.warning("event.parked", reason=problem, bytes=len(delivery.body))
            if self._parking is not None:
                self._parking.create_task(self._park(delivery, problem))
            return
        delivery.settle()
        self.woken.set()
        self._arrived.set()

    async def _park(self, delivery: Delivery, reason: str) -> None:
        await park(delivery, reason=reason, publisher=self._publisher, doubt=self._doubt)
        self._arrived.set()

    async def run(self) -> None:
        """Consume and ack until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._parking = group
            group.create_task(self._consumer.run())
            group.create_task(self._ack())

    async def _ack(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self._consumer.flush_acks()


def _problem(delivery: Delivery) -> str | None:
    """Why a delivery is no event, without any of its body; None when it is one."""
    try:
        event = MailingEvent.from_body(delivery.body)
    except Unparseable as error:
        return str(error)
    if delivery.routing_key != event.routing_key:
        return f"came as {delivery.routing_key[:100]!r}, but the body says {event.routing_key}"
    return None
