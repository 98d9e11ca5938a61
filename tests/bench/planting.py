"""Planting: clients, mailings and messages put into the store directly, as the services would have left them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from pymongo.database import Database

from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import ExchangeName
from shared.contracts.commands import SendCommand
from shared.domain.audience import Audience
from shared.domain.mailing import COMPLETED, RUNNING, Mailing
from shared.domain.message import QUEUED, OnUnknown
from shared.store.mailing_documents import to_document
from shared.store.message_documents import PlannedMessage
from shared.store.store import Store

AT_A_TIME = 5_000
FIRST_PHONE = 79_000_000_000
TAG = "bench"
PUBLISH_S = 300.0


class Planting:
    """One database, and what is put there."""

    def __init__(self, mongo_url: str, database: str) -> None:
        self._url = mongo_url
        self._name = database

    async def prepare(self) -> None:
        """The indexes that the services make."""
        store = Store(self._url, self._name)
        await store.prepare(lambda _: None)
        store.close()

    async def clients(self, count: int, *, tag: str = TAG, first_id: int = 1) -> None:
        """Clients with a tag; their ids follow each other."""
        await asyncio.to_thread(self._plant_clients, count, tag, first_id)

    async def messages(self, mailing_id: int, count: int, **fields: Any) -> None:
        """A running mailing, planned whole, and its messages, which are queued unless the fields say otherwise."""
        await asyncio.to_thread(self._plant_mailing, mailing_id)
        await asyncio.to_thread(self._plant_messages, mailing_id, count, fields)

    async def complete(self, mailing_id: int) -> None:
        """Complete a mailing as a scheduler would, its statistics frozen."""
        store = Store(self._url, self._name)
        frozen = {"status": COMPLETED.value, "statistics": await store.statistics.whole(mailing_id)}
        store.close()
        with pymongo.MongoClient(self._url) as gateway:
            gateway[self._name]["mailings"].update_one({"_id": mailing_id}, {"$set": frozen})

    async def count(self, status: str) -> int:
        def ask() -> int:
            with pymongo.MongoClient(self._url) as gateway:
                return gateway[self._name]["messages"].count_documents({"status": status})

        return await asyncio.to_thread(ask)

    def database(self, gateway: "pymongo.MongoClient[Any]") -> Database[Any]:
        return gateway[self._name]

    def _plant_clients(self, count: int, tag: str, first_id: int) -> None:
        now = datetime.now(UTC)
        with pymongo.MongoClient(self._url) as gateway:
            database = gateway[self._name]
            database["sequences"].update_one({"_id": "clients"}, {"$inc": {"last": count}}, upsert=True)
            for first in range(first_id, first_id + count, AT_A_TIME):
                database["clients"].insert_many(
                    [
                        {
                            "_id": client_id,
                            "phone": str(FIRST_PHONE + client_id),
                            "operator_code": "900",
                            "tags": [tag],
                            "timezone": "UTC",
                            "attributes": {},
                            "opted_out_at": None,
                            "created_at": now,
                            "updated_at": now,
                        }
                        for client_id in range(first, min(first + AT_A_TIME, first_id + count))
                    ],
                    ordered=False,
                )

    def _plant_mailing(self, mailing_id: int) -> None:
        now = datetime.now(UTC)
        mailing = Mailing(
            id=mailing_id,
            name="bench",
            text="Hello",
            audience=Audience(tags=(TAG,)),
            start_at=now - timedelta(minutes=1),
            end_at=now + timedelta(days=1),
            local_window=None,
            rate_per_s=None,
            on_unknown=OnUnknown.RESEND,
            status=RUNNING,
            created_at=now,
            updated_at=now,
        )
        planned = {"fan_out": {"upper_id": 0, "cursor": 0, "done": True}, "look_at": now + timedelta(hours=1)}
        with pymongo.MongoClient(self._url) as gateway:
            gateway[self._name]["mailings"].insert_one(to_document(mailing) | planned)

    def _plant_messages(self, mailing_id: int, count: int, fields: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        with pymongo.MongoClient(self._url) as gateway:
            for first in range(1, count + 1, AT_A_TIME):
                gateway[self._name]["messages"].insert_many(
                    [
                        PlannedMessage(
                            id=message_id,
                            mailing_id=mailing_id,
                            client_id=message_id,
                            phone=str(FIRST_PHONE + message_id),
                            operator_code="900",
                            tags=(TAG,),
                            timezone="UTC",
                            fields={},
                            status=QUEUED,
                            due_at=now + timedelta(hours=1),
                            last_attempt=6,
                        ).to_document(now)
                        | fields
                        for message_id in range(first, min(first + AT_A_TIME, count + 1))
                    ],
                    ordered=False,
                )


async def plant_commands(amqp_url: str, mailing_id: int, count: int) -> None:
    """The topology, and a send command for each of the messages."""
    async with Gateway(amqp_url, name="bench", report=lambda _: None) as gateway:
        commands = (SendCommand(message_id=one, mailing_id=mailing_id, attempt=1) for one in range(1, count + 1))
        await Publisher(gateway).publish_all(
            [Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, one.to_body()) for one in commands],
            within_s=PUBLISH_S,
        )
