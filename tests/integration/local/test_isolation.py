"""Given the session's servers, each test has a database and a virtual host that no other sees."""

import aio_pika
import httpx
import pymongo
import pytest

from tests.support.isolation import ManagementMissing, fresh_database, fresh_vhost


async def test_a_virtual_host_is_ones_own_and_gone_afterwards(amqp_url: str, management_url: str) -> None:
    # Given a fresh virtual host
    with fresh_vhost(amqp_url, management_url) as url:
        # When something is declared in it
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("only-here", durable=True, arguments={"x-queue-type": "quorum"})

        # Then it is not seen elsewhere
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await channel.get_queue("only-here")

    # And the virtual host goes with the test
    async with httpx.AsyncClient(timeout=10) as management:
        names = [vhost["name"] for vhost in (await management.get(f"{management_url}/api/vhosts")).json()]
    assert url.rpartition("/")[2] not in names


def test_a_database_is_dropped_afterwards(mongo_url: str) -> None:
    with pymongo.MongoClient(mongo_url) as client:
        with fresh_database(mongo_url) as name:
            client[name].things.insert_one({"kept": False})
            assert name in client.list_database_names()
        assert name not in client.list_database_names()


def test_a_broker_without_its_management_is_a_clear_failure(amqp_url: str) -> None:
    with pytest.raises(ManagementMissing, match="MANAGEMENT_URL"), fresh_vhost(amqp_url, "http://a:secret@127.0.0.1:1"):
        pass


def test_the_fixtures_give_both(vhost_amqp_url: str, database: str) -> None:
    assert "/test-" in vhost_amqp_url
    assert database.startswith("test_")
