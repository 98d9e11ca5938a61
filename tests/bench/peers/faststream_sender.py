"""The same work by FastStream: its RabbitMQ broker, 64 messages at once, acked when the handler has returned."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import aiohttp
import uvloop
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pydantic import BaseModel
from pymongo import AsyncMongoClient, WriteConcern

from tests.bench.peers.feeding import QUEUE

CONCURRENCY = 64

broker = RabbitBroker(os.environ["AMQP_URL"], default_channel=Channel(prefetch_count=CONCURRENCY))
app = FastStream(broker)


class Command(BaseModel):
    message_id: int
    phone: int
    text: str


class Tools:
    """What the handler works with, opened when the loop runs."""

    http: aiohttp.ClientSession
    messages: Any


@app.on_startup
async def open_tools() -> None:
    Tools.http = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONCURRENCY), headers={"Authorization": "Bearer token"}
    )
    gateway: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(os.environ["MONGO_URL"], maxPoolSize=CONCURRENCY)
    database = gateway.get_database(os.environ["MONGO_DATABASE"], write_concern=WriteConcern(w="majority", j=True))
    Tools.messages = database["messages"]


@broker.subscriber(RabbitQueue(QUEUE, durable=True, queue_type=QueueType.QUORUM), ack_policy=AckPolicy.NACK_ON_ERROR)
async def send(command: Command) -> None:
    at = datetime.now(UTC)
    async with Tools.http.post(
        f"{os.environ['PROVIDER_URL']}/send/{command.message_id}",
        json={"id": command.message_id, "phone": command.phone, "text": command.text},
    ) as answer:
        document = await answer.json(content_type=None)
    outcome = "accepted" if answer.status == 200 and document["code"] == 0 else "refused"
    await Tools.messages.update_one(
        {"_id": command.message_id},
        {
            "$set": {"status": "sent" if outcome == "accepted" else "failed", "sent_at": at, "updated_at": at},
            "$push": {"attempts": {"at": at, "outcome": outcome, "http_status": answer.status}},
        },
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(app.run())
