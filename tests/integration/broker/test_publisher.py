"""A publish that has returned is in its queue; one that has not been confirmed within its time says so, in time."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from deploy.local.ports import free_ports
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import SEND_QUEUE, ExchangeName
from shared.errors import BrokerUnavailable
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.looking import delete, depth, empty
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually

LATE_S = 2.0  # how much later than asked for an answer may come on a busy machine; closing a channel takes 5


@pytest.fixture
async def relay(vhost: Vhost) -> AsyncIterator[Relay]:
    async with Relay(vhost.amqp_url) as relay:
        yield relay


@pytest.fixture
async def gateway(relay: Relay) -> AsyncIterator[Gateway]:
    async with Gateway(relay.url, name="publisher", report=lambda _: None) as gateway:
        await gateway.connection(within_s=20)
        yield gateway


def command(number: int, *, routing_key: str = "message.send.v1") -> Publication:
    return Publication(ExchangeName.MESSAGES, routing_key, str(number).encode())


async def arrived(vhost: Vhost) -> set[int]:
    return {int(one.body) for one in await empty(vhost.amqp_url, SEND_QUEUE)}


async def test_all_that_was_published_is_there(vhost: Vhost, gateway: Gateway) -> None:
    await Publisher(gateway).publish_all(map(command, range(1_000)), within_s=30)
    assert sorted(int(one.body) for one in await empty(vhost.amqp_url, SEND_QUEUE)) == list(range(1_000))


async def test_no_more_wait_for_their_confirm_than_may(vhost: Vhost, relay: Relay, gateway: Gateway) -> None:
    # Given a broker whose answers do not come
    publisher = Publisher(gateway, in_flight=10)
    await publisher.publish(command(0), within_s=10)
    relay.silence(answers_only=True)

    # When a hundred are published at once
    publishing = asyncio.create_task(publisher.publish_all(map(command, range(1, 101)), within_s=30))

    # Then only so many are on their way
    async def on_their_way() -> bool:
        return await depth(vhost.amqp_url, SEND_QUEUE) == 1 + 10

    await eventually(on_their_way, "ten are there", within_s=10)
    assert await depth(vhost.amqp_url, SEND_QUEUE) == 1 + 10

    # And the others follow when the answers come
    relay.speak()
    await publishing
    assert await arrived(vhost) == set(range(101))


@pytest.mark.parametrize("what", ["queue", "exchange"])
async def test_what_was_deleted_by_hand_is_declared_again_and_published_to(
    vhost: Vhost, relay: Relay, gateway: Gateway, what: str
) -> None:
    # Given a publisher at work
    publisher = Publisher(gateway)
    await publisher.publish(command(0), within_s=10)

    # When its queue or its exchange is deleted, and much is published at once
    await delete(vhost.amqp_url, **{what: SEND_QUEUE if what == "queue" else ExchangeName.MESSAGES.value})
    await publisher.publish_all(map(command, range(1, 301)), within_s=30)

    # Then everything is there. (An exchange that is gone costs its channel, and publishes under way the connection.)
    assert await arrived(vhost) >= set(range(1, 301))
    assert relay.connections == 1 or what == "exchange"


async def test_it_says_whether_a_publication_may_be_there_twice(vhost: Vhost, relay: Relay, gateway: Gateway) -> None:
    # Given one that is confirmed at once, and one that is refused first: they are there once
    publisher = Publisher(gateway)
    assert not await publisher.publish(command(1), within_s=20)
    await delete(vhost.amqp_url, queue=SEND_QUEUE)
    assert not await publisher.publish_all([command(2)], within_s=20)

    # When the broker takes one and its answer is lost
    relay.silence(answers_only=True)
    publishing = asyncio.create_task(publisher.publish_all([command(3)], within_s=60))

    async def is_there() -> bool:
        return await depth(vhost.amqp_url, SEND_QUEUE) == 2

    await eventually(is_there, "it is there", within_s=20)
    relay.cut()
    relay.speak()

    # Then it is there twice, and that is said
    assert await publishing
    assert sorted(int(one.body) for one in await empty(vhost.amqp_url, SEND_QUEUE)) == [2, 3, 3]


async def test_what_nothing_is_bound_to_is_unavailable_in_time(gateway: Gateway) -> None:
    publisher = Publisher(gateway)
    began_at_s = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="NO_ROUTE"):
        await publisher.publish(command(0, routing_key="message.send.v99"), within_s=2)
    assert 2 <= time.monotonic() - began_at_s < 2 + LATE_S


async def test_it_is_unavailable_in_time_when_nobody_answers(relay: Relay, gateway: Gateway) -> None:
    """Whether it hangs before the first channel, at a confirm, or while the topology is declared again."""
    publisher = Publisher(gateway)
    for prepared in (False, True):
        if prepared:
            await publisher.publish(command(0), within_s=10)
        relay.silence()
        began_at_s = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="within 1 s"):
            await publisher.publish(command(1), within_s=1)
        assert 1 <= time.monotonic() - began_at_s < 1 + LATE_S
        relay.speak()

    # Given that the topology is being declared again, because a publish came back
    nowhere = command(2, routing_key="message.send.v99")
    asyncio.get_running_loop().call_later(0.75, relay.silence)
    began_at_s = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(nowhere, within_s=2)
    assert 2 <= time.monotonic() - began_at_s < 2 + LATE_S


async def test_it_is_unavailable_in_time_when_nobody_is_there() -> None:
    [port] = free_ports(1)
    async with Gateway(f"amqp://guest:guest@127.0.0.1:{port}/", name="alone", report=lambda _: None) as gateway:
        began_at_s = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="within 1 s"):
            await Publisher(gateway).publish_all(map(command, range(300)), within_s=1)
        assert time.monotonic() - began_at_s < 1 + LATE_S


async def test_it_waits_out_a_broker_that_is_away(vhost: Vhost) -> None:
    # Given a publish to a broker that is not there
    [port] = free_ports(1)
    url = vhost.amqp_url.replace(vhost.amqp_url.rpartition("@")[2].partition("/")[0], f"127.0.0.1:{port}")
    async with Gateway(url, name="early", report=lambda _: None) as gateway:
        publishing = asyncio.create_task(Publisher(gateway).publish(command(7), within_s=30))
        await asyncio.sleep(0.5)
        assert not publishing.done()

        # When it comes, then the publish goes through
        async with Relay(vhost.amqp_url, port=port):
            await publishing
    assert await arrived(vhost) == {7}


async def test_it_survives_connections_that_are_cut(vhost: Vhost, relay: Relay, gateway: Gateway) -> None:
    # When the network fails again and again while two thousand are published
    async def cut_often() -> None:
        for _ in range(5):
            await asyncio.sleep(0.15)
            relay.cut()

    await asyncio.gather(Publisher(gateway).publish_all(map(command, range(2_000)), within_s=60), cut_often())

    # Then all of them are there (some twice)
    assert await arrived(vhost) == set(range(2_000))
    assert relay.connections > 1


async def test_it_survives_connections_that_end_just_behind_an_answer(
    vhost: Vhost, relay: Relay, gateway: Gateway
) -> None:
    """aiormq then fails whoever waits with a bare `Exception()`."""
    publisher = Publisher(gateway)
    await publisher.publish(command(0), within_s=10)

    async def publish_later(number: int) -> None:
        await asyncio.sleep(number * 0.02)  # so that each is confirmed by a frame of its own
        await publisher.publish(command(number), within_s=30)

    for _ in range(10):
        relay.end_behind(20 * 21)  # twenty confirms
        await asyncio.gather(*map(publish_later, range(1, 31)))
    assert await arrived(vhost) == set(range(31))
    assert relay.connections == 1 + 10


async def test_a_publish_that_is_given_up_holds_nothing(vhost: Vhost, relay: Relay, gateway: Gateway) -> None:
    # Given publishes that hang, twice as many as may be on their way
    publisher = Publisher(gateway, in_flight=5)
    await publisher.publish(command(0), within_s=10)
    relay.silence()
    hanging = [asyncio.create_task(publisher.publish(command(number), within_s=60)) for number in range(1, 11)]
    await asyncio.sleep(0.2)

    # When they are given up
    for one in hanging:
        one.cancel()
    results = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)

    # Then their places are free
    relay.speak()
    await publisher.publish_all(map(command, range(100, 120)), within_s=20)
    assert await arrived(vhost) >= {0, *range(100, 120)}
