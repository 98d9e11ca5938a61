"""Planting: mailings, clients, messages and commands as they may be found in store and broker, whoever left them so."""

import itertools
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient

from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.queues import QueueReader
from shared.broker.topology import ExchangeName, retry_queue
from shared.contracts.commands import SendCommand
from shared.domain.audience import Audience
from shared.domain.mailing import RUNNING, Mailing
from shared.domain.message import QUEUED, OnUnknown
from shared.domain.retry import LADDER
from shared.store.mailing_documents import to_document
from shared.store.message_documents import PlannedMessage
from shared.store.store import Store

PUBLISH_S = 10.0
FOREVER = timedelta(days=1)
FIRST_ID = 1_000_000_000  # far from those that the services give


def now() -> datetime:
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)


@dataclass
class Entry:
    """What lay in a queue."""

    body: bytes
    headers: dict[str, Any]

    @property
    def command(self) -> SendCommand:
        return SendCommand.from_body(self.body)


@dataclass
class Planting:
    """Store and broker of some tests, and ways to put things there and to look at them."""

    store: Store
    documents: Any
    gateway: Gateway
    publisher: Publisher
    reader: QueueReader
    published: int = 0  # into the send queue, by the test
    _ids: Any = field(default_factory=lambda: itertools.count(FIRST_ID))

    # --- store -------------------------------------------------------------------------------------------------------

    async def mailing(self, **fields: Any) -> int:
        """A mailing that runs, its fan-out done, unless the fields say otherwise (mailing fields, or raw ones)."""
        mailing_id = next(self._ids)
        known = {name: fields.pop(name) for name in list(fields) if name in Mailing.__dataclass_fields__}
        values: dict[str, Any] = {
            "id": mailing_id,
            "name": f"mailing {mailing_id}",
            "text": "Hello",
            "audience": Audience(everyone=True),
            "start_at": now() - timedelta(minutes=1),
            "end_at": now() + FOREVER,
            "local_window": None,
            "rate_per_s": None,
            "on_unknown": OnUnknown.RESEND,
            "status": RUNNING,
            "created_at": now(),
            "updated_at": now() - timedelta(seconds=1),
        }
        document = to_document(Mailing(**(values | known)))
        document |= {"fan_out": {"upper_id": 0, "cursor": 0, "done": True}, "look_at": now()}
        await self.documents["mailings"].insert_one(document | fields)
        return mailing_id

    async def client(self, **fields: Any) -> int:
        [client_id] = await self.clients(1, **fields)
        return client_id

    async def clients(self, count: int, **fields: Any) -> list[int]:
        made = []
        for _ in range(count):
            client_id = next(self._ids)
            values = {
                "id": client_id,
                "phone": f"7{client_id:010}",
                "operator_code": "000",
                "tags": [],
                "timezone": "Europe/Moscow",
                "attributes": {},
                "opted_out_at": None,
                "created_at": now(),
                "updated_at": now(),
            } | fields
            values["_id"] = values.pop("id")
            made.append(values)
        await self.documents["clients"].insert_many(made)
        return [one["_id"] for one in made]

    async def message(self, mailing_id: int, *, client_id: int | None = None, **fields: Any) -> int:
        """A message that is queued and was never claimed, unless the fields say otherwise."""
        [message_id] = await self.messages(mailing_id, [client_id or await self.client()], **fields)
        return message_id

    async def messages(self, mailing_id: int, client_ids: Iterable[int], **fields: Any) -> list[int]:
        documents = []
        for client_id in client_ids:
            planned = PlannedMessage(
                id=next(self._ids),
                mailing_id=mailing_id,
                client_id=client_id,
                phone=f"7{client_id:010}",
                operator_code="000",
                tags=(),
                timezone="Europe/Moscow",
                fields={},
                status=QUEUED,
                due_at=now() + timedelta(seconds=60),
                last_attempt=6,
            )
            documents.append(planned.to_document(now() - timedelta(seconds=1)) | fields)
        await self.documents["messages"].insert_many(documents)
        return [one["_id"] for one in documents]

    async def claimed(self, mailing_id: int, *, age_s: float, attempt: int = 1, **fields: Any) -> int:
        """A message that another sender has claimed and is heard of no more."""
        claim = {"token": secrets.token_hex(12), "sender": "lost", "at": now() - timedelta(seconds=age_s)}
        return await self.message(mailing_id, status="sending", attempt=attempt, claim=claim, **fields)

    async def found(self, message_id: int) -> dict[str, Any]:
        document: dict[str, Any] = await self.documents["messages"].find_one({"_id": message_id})
        return document

    async def statuses(self, mailing_id: int) -> dict[str, int]:
        stages = [{"$match": {"mailing_id": mailing_id}}, {"$group": {"_id": "$status", "count": {"$sum": 1}}}]
        return {one["_id"]: one["count"] async for one in self.documents["messages"].aggregate(stages)}

    async def mailing_document(self, mailing_id: int) -> dict[str, Any]:
        document: dict[str, Any] = await self.documents["mailings"].find_one({"_id": mailing_id})
        return document

    async def set_mailing(self, mailing_id: int, **fields: Any) -> None:
        await self.documents["mailings"].update_one(
            {"_id": mailing_id}, {"$set": {name.replace("__", "."): value for name, value in fields.items()}}
        )

    async def set_message(self, message_id: int, **fields: Any) -> None:
        await self.documents["messages"].update_one({"_id": message_id}, {"$set": fields})

    # --- broker ------------------------------------------------------------------------------------------------------

    async def command(self, message_id: int, mailing_id: int, *, attempt: int = 1, recover: bool = False) -> None:
        await self.commands([message_id], mailing_id, attempt=attempt, recover=recover)

    async def commands(
        self, message_ids: Iterable[int], mailing_id: int, *, attempt: int = 1, recover: bool = False
    ) -> None:
        bodies = [
            SendCommand(message_id=one, mailing_id=mailing_id, attempt=attempt, recover=recover).to_body()
            for one in message_ids
        ]
        await self.bodies(bodies)

    async def bodies(self, bodies: Iterable[bytes]) -> None:
        publications = [Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, body) for body in bodies]
        await self.publisher.publish_all(publications, within_s=PUBLISH_S)
        self.published += len(publications)

    async def letter(self, body: bytes, headers: dict[str, Any]) -> None:
        publication = Publication(ExchangeName.DEAD, "message.dead.v1", body, headers)
        await self.publisher.publish(publication, within_s=PUBLISH_S)

    async def take_all(self, queue: str) -> list[Entry]:
        """Everything that is ready in a queue, taken out of it."""
        entries: list[Entry] = []
        while (delivery := await self.reader.take(queue)) is not None:
            entries.append(Entry(delivery.body, dict(delivery.headers)))
            delivery.settle()
        await self.reader.ack()
        return entries

    async def empty(self, queues: Iterable[str]) -> None:
        """Take out of the queues whatever is ready. One that was deleted is there again."""
        await self.gateway.declare_again()
        for queue in queues:
            await self.take_all(queue)

    async def retries(self) -> dict[str, list[SendCommand]]:
        """What waits in the ladder, by step, taken out of it; steps in which nothing waits are left out."""
        taken = {step.name: await self.take_all(retry_queue(step)) for step in LADDER}
        return {name: [entry.command for entry in entries] for name, entries in taken.items() if entries}

    async def letters(self) -> list[Entry]:
        return await self.take_all("messages.dead")

    async def ready(self, queue: str = "messages.send") -> int:
        return (await self.reader.depth(queue)).ready


@asynccontextmanager
async def planting(amqp_url: str, mongo_url: str, database: str) -> AsyncIterator[Planting]:
    """A planting in a virtual host and a database."""
    store = Store(mongo_url, database)
    motor: Any = AsyncIOMotorClient(mongo_url, tz_aware=True)
    await store.prepare(lambda _: None)
    try:
        async with Gateway(amqp_url, name="planting", report=lambda _: None) as gateway:
            yield Planting(store, motor[database], gateway, Publisher(gateway), QueueReader(gateway))
    finally:
        motor.close()
        store.close()
