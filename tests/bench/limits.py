"""Limits: what this machine can do at all, each as a process of its own, with the libraries that Mailrun uses.

`python -m tests.bench.limits WHAT COUNT`, the places in the environment; prints one line of JSON.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aio_pika
import aiohttp
import orjson
import uvloop
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import WriteConcern

CONNECTIONS = 64
IN_FLIGHT = 200
PREFETCH = 600
BATCH = 500
ACK_EVERY_S = 0.02
QUEUE = "bench"
BODY = orjson.dumps({"message_id": 1_234_567, "mailing_id": 12, "attempt": 1})


class Stopwatch:
    """Time and CPU of this process between `begin` and `told`."""

    def begin(self) -> None:
        self._began_s, self._cpu_s = time.monotonic(), time.process_time()

    def told(self, count: int) -> dict[str, float]:
        seconds, cpu_s = time.monotonic() - self._began_s, time.process_time() - self._cpu_s
        return {"count": count, "seconds": seconds, "cpu_s": cpu_s}


async def post(count: int) -> dict[str, float]:
    """POST alone: 64 workers, a connection each."""
    watch = Stopwatch()
    async with session() as http:
        left = iter(range(1, count + 1))

        async def work() -> None:
            for message_id in left:
                await call(http, message_id)

        watch.begin()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
        return watch.told(count)


async def publish(count: int) -> dict[str, float]:
    """Confirmed publish alone: persistent, mandatory, 200 in flight, into a quorum queue."""
    watch = Stopwatch()
    async with await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel(on_return_raises=True)
        await declare(channel)
        left = iter(range(count))

        async def work() -> None:
            for _ in left:
                message = aio_pika.Message(BODY, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, QUEUE)

        watch.begin()
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return watch.told(count)


async def consume(count: int) -> dict[str, float]:
    """Consume and ack alone, by `multiple`, what `publish` has left."""

    async def settle_at_once(_: aiohttp.ClientSession, acks: "Acks", tag: int) -> None:
        acks.settle(tag)

    return await consuming(count, settle_at_once, workers=1)


async def pipeline(count: int) -> dict[str, float]:
    """The bare pipeline: consume -> POST -> ack by `multiple`; no store, one process."""

    async def call_and_settle(http: aiohttp.ClientSession, acks: "Acks", tag: int) -> None:
        await call(http, tag)
        acks.settle(tag)

    return await consuming(count, call_and_settle, workers=CONNECTIONS)


async def consuming(
    count: int, work: Callable[[aiohttp.ClientSession, "Acks", int], Awaitable[None]], *, workers: int
) -> dict[str, float]:
    watch = Stopwatch()
    async with session() as http, await aio_pika.connect(os.environ["AMQP_URL"]) as connection:
        channel = await connection.channel()
        await declare(channel)
        await channel.set_qos(prefetch_count=PREFETCH)
        underlay = await channel.get_underlay_channel()
        tags: asyncio.Queue[int] = asyncio.Queue()
        acks = Acks(underlay, count)

        async def take(message: Any) -> None:
            tags.put_nowait(message.delivery.delivery_tag)

        async def labour() -> None:
            while True:
                await work(http, acks, await tags.get())

        watch.begin()
        await underlay.basic_consume(QUEUE, take)
        labourers = [asyncio.create_task(labour()) for _ in range(workers)]
        await acks.run()
        told = watch.told(count)
        for one in labourers:
            one.cancel()
        return told


class Acks:
    """Acks the contiguous prefix of what is settled, every 20 ms."""

    def __init__(self, channel: Any, count: int) -> None:
        self._channel = channel
        self._count = count
        self._acked = 0
        self._settled: set[int] = set()

    def settle(self, tag: int) -> None:
        self._settled.add(tag)

    async def run(self) -> None:
        while self._acked < self._count:
            await asyncio.sleep(ACK_EVERY_S)
            upto = self._acked
            while upto + 1 in self._settled:
                upto += 1
                self._settled.discard(upto)
            if upto > self._acked:
                await self._channel.basic_ack(upto, multiple=True)
                self._acked = upto


async def insert(count: int) -> dict[str, float]:
    """The store's inserts: 500 documents of the size of a message at a time."""
    watch = Stopwatch()
    collection = store()["messages"]
    watch.begin()
    for first in range(1, count + 1, BATCH):
        await collection.insert_many([document(first + at) for at in range(BATCH)], ordered=False)
    return watch.told(count)


async def update(count: int) -> dict[str, float]:
    """The store's updates of many: 500 of what `insert` has left at a time."""
    watch = Stopwatch()
    collection = store()["messages"]
    watch.begin()
    for first in range(1, count + 1, BATCH):
        await collection.update_many(
            {"_id": {"$in": list(range(first, first + BATCH))}, "status": "queued"},
            {"$set": {"status": "sending", "claim": {"token": "0" * 24, "at": datetime.now(UTC)}}},
        )
    return watch.told(count)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Content-Type": "application/json", "Authorization": "Bearer token"},
    )


async def call(http: aiohttp.ClientSession, message_id: int) -> None:
    body = orjson.dumps({"id": message_id, "phone": 79_001_234_567, "text": "Hello"})
    async with http.post(f"{os.environ['PROVIDER_URL']}/send/{message_id}", data=body) as response:
        await response.read()


async def declare(channel: Any) -> None:
    await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})


def store() -> Any:
    client: Any = AsyncIOMotorClient(os.environ["MONGO_URL"], tz_aware=True)
    return client.get_database(os.environ["MONGO_DATABASE"], write_concern=WriteConcern(w="majority", j=True))


def document(message_id: int) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "_id": message_id,
        "mailing_id": 1,
        "client_id": message_id,
        "phone": "79001234567",
        "operator_code": "900",
        "tags": ["tag"],
        "timezone": "UTC",
        "fields": {},
        "status": "queued",
        "attempt": 0,
        "last_attempt": 6,
        "due_at": now,
        "attempts": [],
        "created_at": now,
        "updated_at": now,
    }


if __name__ == "__main__":
    measure = {one.__name__: one for one in (post, publish, consume, pipeline, insert, update)}[sys.argv[1]]
    sys.stdout.write(json.dumps(uvloop.run(measure(int(sys.argv[2])))) + "\n")
