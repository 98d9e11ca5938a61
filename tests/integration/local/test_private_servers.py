"""Given a private server, a test can kill it and start it again: address and data stay, and no process is left."""

from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pymongo
import pytest

from deploy.local.leftovers import marked_processes
from deploy.local.rabbit import PrivateRabbit
from deploy.local.readiness import wait_until
from deploy.local.store import EmbeddedStore


async def test_a_node_keeps_what_it_confirmed_over_a_kill(tmp_path: Path) -> None:
    # Given a node that is no guest's, and a message that it has confirmed
    with PrivateRabbit(tmp_path / "node") as node:
        assert "guest" not in node.amqp_url
        async with await aio_pika.connect(node.amqp_url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
            message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, routing_key="kept")

        # And it has the queue itself on disk, which takes it a moment longer
        wait_until(lambda: node.keeps_queue("kept"), "the queue on disk", timeout_s=10, alive=lambda: True)

        # When it is killed and started again
        node.kill()
        assert marked_processes(tmp_path / "node") == []
        node.start()

        # Then it is where it was, with the message
        async with await aio_pika.connect(node.amqp_url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue("kept")
            received = await queue.get(timeout=10)
            assert received.body == b"kept"
            await received.ack()
        async with httpx.AsyncClient(auth=node.credentials) as management:
            assert (await management.get(f"{node.management_url}/api/overview")).is_success

        # And it can be asked to stop
        node.stop()
        assert marked_processes(tmp_path / "node") == []


def test_its_secrets_are_for_its_owner_alone(tmp_path: Path) -> None:
    PrivateRabbit(tmp_path / "node")
    for name in ("password", "rabbitmq.conf"):
        assert (tmp_path / "node" / name).stat().st_mode & 0o777 == 0o600


def test_a_store_keeps_what_it_acknowledged_over_a_kill(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store") as store, pymongo.MongoClient[dict[str, Any]](store.mongo_url) as client:
        client.test.things.insert_many([{"_id": number} for number in range(1_000)])
        store.kill()
        assert marked_processes(tmp_path / "store") == []
        store.start()
        assert client.test.things.count_documents({}) == 1_000


def test_a_server_is_started_once(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path / "store") as store, pytest.raises(RuntimeError, match="running already"):
        store.spawn()
