"""A consumer that the broker has forgotten, or whose virtual host is gone, begins anew, and loses nothing by it."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from shared.broker import consumer as consumer_module
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import SEND_QUEUE, ExchangeName
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.consuming import Taker, consuming, is_empty
from tests.integration.broker.looking import delete, recreate
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually


@pytest.fixture
async def relay(vhost: Vhost) -> AsyncIterator[Relay]:
    """What the consumer connects by."""
    async with Relay(vhost.amqp_url) as relay:
        yield relay


async def publish(publisher: Publisher, numbers: range) -> None:
    await publisher.publish_all(
        (Publication(ExchangeName.MESSAGES, "message.send.v1", str(number).encode()) for number in numbers), within_s=60
    )


async def test_a_queue_that_is_declared_anew_the_moment_it_was_deleted_is_consumed(either_vhost: Vhost) -> None:
    """RabbitMQ 3.10 then tells its consumers nothing."""
    # Given two consumers, and another process that deletes and declares
    async with (
        Gateway(either_vhost.amqp_url, name="consumers", report=lambda _: None) as gateway,
        Gateway(either_vhost.amqp_url, name="another", report=lambda _: None) as another,
    ):
        publisher = Publisher(another)
        takers = (Taker(), Taker())
        async with consuming(gateway, takers[0], prefetch=10) as one, consuming(gateway, takers[1], prefetch=10) as two:
            await publish(publisher, range(10))
            await until_taken(takers, range(10))
            for taker, consumer in zip(takers, (one, two), strict=True):
                taker.settle_all()
                await consumer.flush_acks()

            # When the queue is deleted and declared
            await delete(either_vhost.amqp_url, queue=SEND_QUEUE)
            await another.declare_again()

            # Then what is published goes to both of them again
            await publish(publisher, range(10, 30))
            await until_taken(takers, range(10, 30))
            assert all(taker.numbers.intersection(range(10, 30)) for taker in takers)


async def until_taken(takers: tuple[Taker, ...], numbers: range) -> None:
    async def taken() -> bool:
        return set().union(*(taker.numbers for taker in takers)) >= set(numbers)

    await eventually(taken, f"{len(numbers)} are taken", within_s=60)


async def test_a_virtual_host_that_is_deleted_and_made_anew_is_declared_and_consumed(either_vhost: Vhost) -> None:
    reports: list[str] = []
    async with (
        Gateway(either_vhost.amqp_url, name="consumer", report=reports.append) as gateway,
        Gateway(either_vhost.amqp_url, name="publisher", report=lambda _: None) as publishing,
    ):
        publisher = Publisher(publishing)
        taker = Taker()
        async with consuming(gateway, taker, prefetch=10):
            await publish(publisher, range(5))
            await taker.until(set(range(5)))

            # When the virtual host is deleted and made anew
            user = urlsplit(either_vhost.amqp_url).username or "guest"
            await recreate(either_vhost.management_url, either_vhost.name, user)

            # Then all is there again, and is consumed
            await publish(publisher, range(5, 10))
            await taker.until(set(range(10)))
    assert [report for report in reports if report.startswith("away")]


async def test_in_silence_it_begins_anew_and_with_something_in_hand_it_does_not(
    vhost: Vhost, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "SILENCE_S", 0.02)
    taker = Taker()
    async with (
        Gateway(relay.url, name="consumer", report=lambda _: None) as gateway,
        Gateway(vhost.amqp_url, name="publisher", report=lambda _: None) as publishing,
        consuming(gateway, taker, prefetch=50) as consumer,
    ):
        publisher = Publisher(publishing)
        # Given deliveries while it begins anew all the time
        for at in range(20):
            await publish(publisher, range(at * 10, at * 10 + 10))
            await taker.until(set(range(at * 10 + 10)))
            taker.settle_all()
            await consumer.flush_acks()

        # When some are in hand, then they stay there
        await publish(publisher, range(200, 210))
        await taker.until(set(range(210)))
        in_hand = taker.deliveries[-1]
        await asyncio.sleep(0.2)
        assert in_hand.acks.is_open
        taker.settle_all()
        await consumer.flush_acks()
        await eventually(lambda: asyncio.sleep(0, not in_hand.acks.is_open), "it begins anew", within_s=30)

    # Then nothing is left, and it was one connection
    assert await is_empty(vhost.amqp_url)
    assert relay.connections == 1
