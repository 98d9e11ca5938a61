"""Drain: takes so many send commands and acks them, in the place of senders. `python -m tests.bench.drain COUNT`."""

import asyncio
import json
import os
import sys
import time

import uvloop

from shared.broker.consumer import Consumer
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway
from shared.broker.topology import SEND_QUEUE

PREFETCH = 1_000
ACK_EVERY_S = 0.02


async def drain(count: int) -> dict[str, float]:
    """Take `count` commands; seconds between the first and the last."""
    at_s: list[float] = []

    def take(delivery: Delivery) -> None:
        at_s.append(time.monotonic())
        delivery.settle()

    async with Gateway(os.environ["AMQP_URL"], name="drain", report=lambda _: None) as gateway:
        consumer = Consumer(gateway, SEND_QUEUE, prefetch=PREFETCH, on_delivery=take)
        consuming = asyncio.create_task(consumer.run())
        while len(at_s) < count:
            await asyncio.sleep(ACK_EVERY_S)
            await consumer.flush_acks()
        consuming.cancel()
        await asyncio.wait([consuming])
        await consumer.close()
    return {"count": len(at_s), "seconds": at_s[count - 1] - at_s[0]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(drain(int(sys.argv[1])))) + "\n")
