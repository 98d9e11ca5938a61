"""Given either broker, the topology is there by its names, and carries messages as its arguments promise."""

import asyncio
import time

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import DEAD_QUEUE, SEND_QUEUE, WAKEUPS_QUEUE, ExchangeName, retry_queue
from shared.contracts.dead_letters import DEAD_ROUTING_KEY, DeadLetterHeaders
from shared.domain.retry import LADDER
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.looking import declared, delete, depth, empty
from tests.support.eventually import eventually

AT_LEAST_ONCE = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-queue-type": "quorum"}
TO_THE_DEAD = {"x-dead-letter-exchange": "messages.dead", "x-dead-letter-routing-key": "message.dead.v1"}
NEVER_TOO_OFTEN = {"x-delivery-limit": 2**31 - 1}
BACK_TO_SEND = {"x-dead-letter-exchange": "messages", "x-dead-letter-routing-key": "message.send.v1"}


async def test_it_is_declared_by_its_names(either_vhost: Vhost) -> None:
    # When a gateway has come up, twice
    for _ in range(2):
        async with Gateway(either_vhost.amqp_url, name="topology", report=lambda _: None) as gateway:
            await gateway.connection(within_s=30)

    # Then there are these exchanges, queues and bindings, and no others
    exchanges = await declared(either_vhost.management_url, either_vhost.name, "exchanges")
    ours = {one["name"]: (one["type"], one["durable"]) for one in exchanges if one["name"][:4] not in ("", "amq.")}
    assert ours == {
        "mailings": ("topic", True),
        "messages": ("direct", True),
        "messages.retry": ("direct", True),
        "messages.dead": ("direct", True),
    }
    queues = await declared(either_vhost.management_url, either_vhost.name, "queues")
    assert all(one["durable"] and one["type"] == "quorum" for one in queues)
    assert {one["name"]: one["arguments"] for one in queues} == {
        "scheduler.wakeups": AT_LEAST_ONCE | TO_THE_DEAD | NEVER_TOO_OFTEN,
        "messages.dead": {"x-queue-type": "quorum"} | NEVER_TOO_OFTEN,
        "messages.send": AT_LEAST_ONCE | TO_THE_DEAD | NEVER_TOO_OFTEN,
        "messages.retry.5s": AT_LEAST_ONCE | BACK_TO_SEND | {"x-message-ttl": 5_000},
        "messages.retry.30s": AT_LEAST_ONCE | BACK_TO_SEND | {"x-message-ttl": 30_000},
        "messages.retry.2m": AT_LEAST_ONCE | BACK_TO_SEND | {"x-message-ttl": 120_000},
        "messages.retry.10m": AT_LEAST_ONCE | BACK_TO_SEND | {"x-message-ttl": 600_000},
        "messages.retry.1h": AT_LEAST_ONCE | BACK_TO_SEND | {"x-message-ttl": 3_600_000},
    }
    bindings = await declared(either_vhost.management_url, either_vhost.name, "bindings")
    assert {(one["source"], one["routing_key"], one["destination"]) for one in bindings if one["source"]} == {
        ("mailings", "mailing.*.v1", "scheduler.wakeups"),
        ("messages", "message.send.v1", "messages.send"),
        ("messages.dead", "message.dead.v1", "messages.dead"),
        *(
            ("messages.retry", f"messages.retry.{step}", f"messages.retry.{step}")
            for step in ["5s", "30s", "2m", "10m", "1h"]
        ),
    }


async def test_what_is_published_arrives_as_it_was(either_vhost: Vhost) -> None:
    # Given a dead letter of a mailing with a large id
    async with Gateway(either_vhost.amqp_url, name="headers", report=lambda _: None) as gateway:
        headers = DeadLetterHeaders("body: Invalid JSON", mailing_id=2**63 - 1, client_id=7, parked=True)
        letter = Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, b"\x00\xff", headers.as_headers())

        # When it is published
        await Publisher(gateway).publish(letter, within_s=20)

    # Then it lies there, on the disk, with all its headers
    [entry] = await empty(either_vhost.amqp_url, DEAD_QUEUE)
    assert entry.body == b"\x00\xff"
    assert {name: value for name, value in entry.headers.items() if name != "x-delivery-count"} == {
        "x-mailrun-reason": "body: Invalid JSON",
        "x-mailrun-parked": True,
        "x-mailrun-mailing-id": 2**63 - 1,
        "x-mailrun-client-id": 7,
    }
    assert entry.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert entry.content_type == "application/json"


async def test_an_event_wakes_the_schedulers(either_vhost: Vhost) -> None:
    async with Gateway(either_vhost.amqp_url, name="events", report=lambda _: None) as gateway:
        event = Publication(ExchangeName.MAILINGS, "mailing.replay_requested.v1", b"{}")
        await Publisher(gateway).publish(event, within_s=20)
        assert await depth(either_vhost.amqp_url, WAKEUPS_QUEUE) == 1


async def test_a_retry_comes_back_to_be_sent_after_its_wait(either_vhost: Vhost) -> None:
    # Given a thousand commands in the first step of the ladder
    step = LADDER[0]
    bodies = {f"command {number}".encode() for number in range(1_000)}
    async with Gateway(either_vhost.amqp_url, name="ladder", report=lambda _: None) as gateway:
        publications = [Publication(ExchangeName.RETRY, retry_queue(step), body) for body in bodies]
        began_at_s = time.monotonic()
        await Publisher(gateway).publish_all(publications, within_s=30)
        assert await depth(either_vhost.amqp_url, SEND_QUEUE) == 0

        # When the step's time has passed, and not before
        async def back() -> bool:
            return await depth(either_vhost.amqp_url, SEND_QUEUE) > 0

        await eventually(back, "the first is back", within_s=20)
        assert time.monotonic() - began_at_s >= step.delay_s

        async def all_back() -> bool:
            return await depth(either_vhost.amqp_url, SEND_QUEUE) >= len(bodies)

        await eventually(all_back, "all are back", within_s=20)

    # Then every one of them is to be sent: none lost, none doubled
    assert sorted(one.body for one in await empty(either_vhost.amqp_url, SEND_QUEUE)) == sorted(bodies)


async def test_a_retry_is_kept_while_its_way_back_is_gone(either_vhost: Vhost) -> None:
    """At least once. With `drop-head`, or at most once, the broker would drop what it cannot route."""
    # Given a command in the ladder, and nothing bound to where it goes back
    step = LADDER[0]
    async with Gateway(either_vhost.amqp_url, name="ladder", report=lambda _: None) as gateway:
        await Publisher(gateway).publish(Publication(ExchangeName.RETRY, retry_queue(step), b"kept"), within_s=20)
        await delete(either_vhost.amqp_url, queue=SEND_QUEUE)

        # When its time passes, then the broker keeps it to be dead-lettered (which it tries every three minutes)
        async def kept() -> bool:
            queues = await declared(either_vhost.management_url, either_vhost.name, "queues")
            return [one.get("messages_dlx") for one in queues if one["name"] == retry_queue(step)] == [1]

        await eventually(kept, "it is kept", within_s=30)


async def test_what_the_broker_gives_up_on_is_a_dead_letter(either_vhost: Vhost) -> None:
    # Given a command to be sent
    async with Gateway(either_vhost.amqp_url, name="rejected", report=lambda _: None) as gateway:
        await Publisher(gateway).publish(Publication(ExchangeName.MESSAGES, "message.send.v1", b"poison"), within_s=20)

        # When the broker gives up on it, here because it is rejected
        async with await aio_pika.connect(either_vhost.amqp_url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(SEND_QUEUE)
            await (await queue.get(timeout=10)).reject(requeue=False)

        # Then it lies among the dead letters
        async def dead() -> bool:
            return await depth(either_vhost.amqp_url, DEAD_QUEUE) == 1

        await eventually(dead, "it is a dead letter", within_s=20)
    [entry] = await empty(either_vhost.amqp_url, DEAD_QUEUE)
    assert entry.body == b"poison"


@pytest.mark.parametrize("queue", [SEND_QUEUE, DEAD_QUEUE, WAKEUPS_QUEUE])
async def test_the_broker_gives_nothing_up_however_often_it_comes_again(either_vhost: Vhost, queue: str) -> None:
    """RabbitMQ 4.x would after 20 deliveries, and drop what lies in a queue that dead-letters nowhere."""
    exchange = {SEND_QUEUE: ExchangeName.MESSAGES, DEAD_QUEUE: ExchangeName.DEAD, WAKEUPS_QUEUE: ExchangeName.MAILINGS}
    key = {SEND_QUEUE: "message.send.v1", DEAD_QUEUE: DEAD_ROUTING_KEY, WAKEUPS_QUEUE: "mailing.updated.v1"}
    async with Gateway(either_vhost.amqp_url, name="patience", report=lambda _: None) as gateway:
        await Publisher(gateway).publish(Publication(exchange[queue], key[queue], b"again and again"), within_s=20)

        # When it is delivered thirty times, to channels that close with it in hand, and to some that give it back
        async with await aio_pika.connect(either_vhost.amqp_url) as connection:
            for at in range(30):
                channel = await connection.channel()
                found = await channel.get_queue(queue, ensure=False)

                async def delivered() -> AbstractIncomingMessage | None:
                    return await found.get(fail=False, timeout=10)  # noqa: B023

                one = await eventually(delivered, f"it is there for the time {at + 1}", within_s=20, every_s=0.02)
                assert one is not None
                if at % 2:
                    await one.nack(requeue=True)
                await channel.close()

        # Then it lies where it lay, and is no dead letter
        [entry] = await eventually(lambda: empty(either_vhost.amqp_url, queue), "it is there", within_s=20)
        assert entry.body == b"again and again"
        assert entry.headers["x-delivery-count"] >= 30
        if queue != DEAD_QUEUE:
            assert await depth(either_vhost.amqp_url, DEAD_QUEUE) == 0


async def test_a_queue_of_another_form_in_the_way_is_reported_until_it_is_gone(vhost: Vhost) -> None:
    # Given a classic queue where a quorum queue belongs
    async with await aio_pika.connect(vhost.amqp_url) as connection:
        await (await connection.channel()).declare_queue(SEND_QUEUE, durable=True)
    reports: list[str] = []

    async with Gateway(vhost.amqp_url, name="blocked", report=reports.append) as gateway:
        # When a gateway comes, then it says what is wrong, and waits
        async def told() -> bool:
            return any("PRECONDITION_FAILED" in report for report in reports)

        await eventually(told, "it says what is wrong", within_s=20)
        assert "up" not in reports

        # When the queue is removed, then it goes on
        await delete(vhost.amqp_url, queue=SEND_QUEUE)
        await gateway.connection(within_s=20)
        await eventually(lambda: asyncio.sleep(0, "up" in reports), "it is up", within_s=30)


@pytest.mark.parametrize("queue", [SEND_QUEUE, DEAD_QUEUE, WAKEUPS_QUEUE])
async def test_what_is_deleted_by_hand_is_declared_again(vhost: Vhost, queue: str) -> None:
    async with Gateway(vhost.amqp_url, name="again", report=lambda _: None) as gateway:
        await gateway.connection(within_s=20)
        await delete(vhost.amqp_url, queue=queue)
        await gateway.declare_again()
        assert await depth(vhost.amqp_url, queue) == 0
