"""Feeding: the commands in the form that each peer takes, in quorum queues, persistent."""

import asyncio
import json
import secrets

import aio_pika

IN_FLIGHT = 200
QUEUE = "bench.peer"
TEXT = "Hello"
PHONE = 79_001_234_567


async def feed(peer: str, amqp_url: str, count: int) -> None:
    """Publish `count` commands, each confirmed."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        left = iter(range(1, count + 1))

        async def work() -> None:
            for message_id in left:
                message = as_celery(message_id) if peer == "celery" else as_json(message_id)
                await channel.default_exchange.publish(message, QUEUE)

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def as_json(message_id: int) -> aio_pika.Message:
    body = {"message_id": message_id, "phone": PHONE, "text": TEXT}
    return aio_pika.Message(
        json.dumps(body).encode(), content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
    )


def as_celery(message_id: int) -> aio_pika.Message:
    """A task in Celery's message protocol 2. Source: docs.celeryq.dev, "Message Protocol"."""
    task_id = secrets.token_hex(16)
    return aio_pika.Message(
        json.dumps([[message_id, PHONE, TEXT], {}, {"callbacks": None, "errbacks": None, "chain": None}]).encode(),
        content_type="application/json",
        content_encoding="utf-8",
        correlation_id=task_id,
        headers={"lang": "py", "task": "send", "id": task_id, "root_id": task_id, "argsrepr": "", "kwargsrepr": ""},
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
