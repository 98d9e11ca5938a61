"""A consumer at work as a sender has it: it takes deliveries over, settles and acks them, and ends in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.broker.consumer import Consumer
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway
from shared.broker.topology import SEND_QUEUE
from tests.integration.broker.looking import depth
from tests.support.eventually import eventually


class Taker:
    """Takes deliveries over, and remembers them."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)

    @property
    def numbers(self) -> set[int]:
        return {int(delivery.body) for delivery in self.deliveries}

    async def until(self, numbers: set[int]) -> None:
        await eventually(lambda: asyncio.sleep(0, self.numbers >= numbers), f"{len(numbers)} are taken", within_s=30)

    def settle_all(self) -> None:
        for delivery in self.deliveries:
            delivery.settle()


@asynccontextmanager
async def consuming(
    gateway: Gateway, taker: Taker, *, prefetch: int = 100, settles_the_rest: bool = True
) -> AsyncIterator[Consumer]:
    """A consumer at work; ended as a sender ends, all that it has in hand done (or not)."""
    consumer = Consumer(gateway, SEND_QUEUE, prefetch=prefetch, on_delivery=taker)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        running.cancel()
        await asyncio.wait([running])
        if settles_the_rest:
            taker.settle_all()
        await consumer.close()
    assert running.cancelled()


async def until_all_is_taken(amqp_url: str, consumer: Consumer, taker: Taker) -> None:
    """Settle and ack what comes until nothing more does: what a lost channel had in hand is back a moment later."""
    looks = 0

    async def nothing_left() -> bool:
        nonlocal looks
        taken = len(taker.deliveries)
        taker.settle_all()
        await consumer.flush_acks()
        looks = looks + 1 if await is_empty(amqp_url) and taken == len(taker.deliveries) else 0
        return looks == 10

    await eventually(nothing_left, "nothing is left", within_s=60)


async def is_empty(amqp_url: str) -> bool:
    return await depth(amqp_url, SEND_QUEUE) == 0
