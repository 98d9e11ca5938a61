"""A consumer hands over every delivery until it is acked, whatever becomes of queue, channel and connection."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.broker import acks as acks_module
from shared.broker.consumer import Consumer
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import SEND_QUEUE, ExchangeName, Topology
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.consuming import Taker, consuming, is_empty, until_all_is_taken
from tests.integration.broker.looking import delete, depth
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually


@pytest.fixture
async def relay(vhost: Vhost) -> AsyncIterator[Relay]:
    """What the consumer connects by."""
    async with Relay(vhost.amqp_url) as relay:
        yield relay


@pytest.fixture
async def gateway(relay: Relay) -> AsyncIterator[Gateway]:
    async with Gateway(relay.url, name="consumer", report=lambda _: None) as gateway:
        yield gateway


@pytest.fixture
async def publisher(vhost: Vhost) -> AsyncIterator[Publisher]:
    """Publishes past the relay."""
    async with Gateway(vhost.amqp_url, name="publisher", report=lambda _: None) as gateway:
        yield Publisher(gateway)


async def publish(publisher: Publisher, numbers: range) -> None:
    await publisher.publish_all(
        (Publication(ExchangeName.MESSAGES, "message.send.v1", str(number).encode()) for number in numbers), within_s=60
    )


async def test_it_takes_what_there_is_and_acks_what_is_settled(
    vhost: Vhost, gateway: Gateway, publisher: Publisher
) -> None:
    # Given more commands than are delivered at a time
    await publish(publisher, range(500))
    taker = Taker()
    async with consuming(gateway, taker, prefetch=100) as consumer:
        # When none is settled, then no more are delivered
        await taker.until(set(range(100)))
        assert len(taker.deliveries) == 100
        assert not any(delivery.redelivered for delivery in taker.deliveries)

        # When they are settled as they come, then all come, in their order
        while len(taker.deliveries) < 500:
            taker.settle_all()
            await consumer.flush_acks()
            await asyncio.sleep(0.01)
        assert [int(delivery.body) for delivery in taker.deliveries] == list(range(500))
        taker.settle_all()

    # Then, after the end, none is left
    assert await is_empty(vhost.amqp_url)


@asynccontextmanager
async def holding(
    gateway: Gateway, publisher: Publisher, *, of: int, settles_the_rest: bool = True
) -> AsyncIterator[tuple[Taker, Consumer]]:
    """A consumer that holds 100 of so many, all that it may."""
    await publish(publisher, range(of))
    taker = Taker()
    async with consuming(gateway, taker, prefetch=100, settles_the_rest=settles_the_rest) as consumer:
        await taker.until(set(range(100)))
        yield taker, consumer


async def test_however_often_the_prefetch_is_changed_there_is_a_bound_to_what_is_in_hand(
    vhost: Vhost, gateway: Gateway, publisher: Publisher
) -> None:
    async with holding(gateway, publisher, of=400, settles_the_rest=False) as (taker, consumer):
        # When half as much is wanted, then so many come on top of that, and once
        for prefetch in (50, 100, 50, 100, 50):
            consumer.set_prefetch(prefetch)
            await taker.until(set(range(150)))
            await asyncio.sleep(0.2)
            assert len(taker.deliveries) == 150

        # And when more is wanted, then so many come as soon as no more than that is unacked
        consumer.set_prefetch(100)
        for delivery in taker.deliveries[:49]:
            delivery.settle()
        await consumer.flush_acks()
        await asyncio.sleep(0.2)
        assert len(taker.deliveries) == 150
        taker.deliveries[49].settle()
        await consumer.flush_acks()
        await taker.until(set(range(250)))
        await asyncio.sleep(0.2)
        assert len(taker.deliveries) == 250

        # And to as much as is in hand it goes at once
        consumer.set_prefetch(200)
        await taker.until(set(range(400)))
    assert await depth(vhost.amqp_url, SEND_QUEUE) == 350


async def test_a_small_prefetch_is_not_held_up_by_what_larger_ones_have_left(
    vhost: Vhost, gateway: Gateway, publisher: Publisher
) -> None:
    """As at a provider that turns slow: what is urgent comes beside what was taken before."""
    async with holding(gateway, publisher, of=160) as (taker, consumer):
        consumer.set_prefetch(50)
        await taker.until(set(range(150)))
        consumer.set_prefetch(10)
        await taker.until(set(range(160)))


async def test_one_that_waits_for_a_larger_prefetch_goes_on_meanwhile(
    vhost: Vhost, gateway: Gateway, publisher: Publisher
) -> None:
    # Given a consumer of few with many in hand from before, which wants more than there is room for
    async with holding(gateway, publisher, of=105) as (taker, consumer):
        consumer.set_prefetch(5)
        await taker.until(set(range(105)))
        consumer.set_prefetch(20)

        # When one of the few is settled, then another one comes
        taker.deliveries[-1].settle()
        await publish(publisher, range(105, 106))
        await eventually(lambda: flushed(consumer, taker, 106), "another one comes", within_s=30)


async def flushed(consumer: Consumer, taker: Taker, count: int) -> bool:
    """Whether so many are taken after acking; one that is stuck behind others is acked after a second."""
    await consumer.flush_acks()
    return len(taker.deliveries) == count


async def test_one_that_takes_long_holds_up_nobody_behind_it(
    vhost: Vhost, gateway: Gateway, publisher: Publisher
) -> None:
    # Given a delivery that is not settled, and a full prefetch behind it that is
    await publish(publisher, range(60))
    taker = Taker()
    async with consuming(gateway, taker, prefetch=20, settles_the_rest=False) as consumer:
        await taker.until(set(range(20)))

        async def all_but_the_first() -> bool:
            for delivery in taker.deliveries[1:]:
                delivery.settle()
            await consumer.flush_acks()
            return len(taker.deliveries) == 60

        # Then the others come, one by one
        await eventually(all_but_the_first, "the others have come", within_s=30)
    # And the first comes again
    assert await depth(vhost.amqp_url, SEND_QUEUE) == 1


async def test_what_was_not_acked_comes_again_when_the_connection_is_cut(
    vhost: Vhost, relay: Relay, gateway: Gateway, publisher: Publisher
) -> None:
    # Given deliveries, half of them settled and not yet acked
    await publish(publisher, range(50))
    taker = Taker()
    async with consuming(gateway, taker) as consumer:
        await taker.until(set(range(50)))
        before = list(taker.deliveries)
        for delivery in before[::2]:
            delivery.settle()

        # When the connection is cut
        relay.cut()
        await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) >= 100), "they come again", within_s=30)

        # Then all come again, marked, and what is settled on the channel before does no harm
        assert {int(delivery.body) for delivery in taker.deliveries[50:]} == set(range(50))
        assert all(delivery.redelivered for delivery in taker.deliveries[50:])
        assert not before[0].acks.is_open
        for delivery in before:
            delivery.settle()
        await consumer.flush_acks()
        assert await is_empty(vhost.amqp_url)
        for delivery in taker.deliveries[50:]:
            delivery.settle()
        await consumer.flush_acks()

        # And the consumer goes on
        await publish(publisher, range(50, 60))
        await taker.until(set(range(60)))
        taker.settle_all()
    assert await is_empty(vhost.amqp_url)


async def test_it_survives_cuts_at_any_moment(
    vhost: Vhost, relay: Relay, gateway: Gateway, publisher: Publisher
) -> None:
    """Work and acks go on while the network fails, just behind a frame as well as in the middle of one."""
    await publish(publisher, range(2_000))
    taker = Taker()
    async with consuming(gateway, taker) as consumer:
        for at in range(10):
            await asyncio.sleep(0.1)
            taker.settle_all()
            await consumer.flush_acks()
            if at % 2:
                relay.cut()
            else:
                relay.end_behind(2_000)
        await until_all_is_taken(vhost.amqp_url, consumer, taker)
    assert taker.numbers == set(range(2_000))
    assert await is_empty(vhost.amqp_url)


async def test_a_deleted_queue_is_declared_again_and_consumed(
    vhost: Vhost, relay: Relay, gateway: Gateway, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a consumer with five hundred deliveries in hand, that it settles and acks one by one
    await publish(publisher, range(500))
    taker = Taker()
    async with consuming(gateway, taker, prefetch=500) as consumer:
        await taker.until(set(range(500)))

        async def work() -> None:
            for delivery in taker.deliveries[:500]:
                delivery.settle()
                await consumer.flush_acks()
                await asyncio.sleep(0.001)

        working = asyncio.create_task(work())

        # When the queue is deleted
        await delete(vhost.amqp_url, queue=SEND_QUEUE)
        assert not working.done()

        # Then it is consumed again, and it has cost no connection
        await publish(publisher, range(500, 520))
        await taker.until(set(range(520)))
        await working
    assert relay.connections == 1
    assert not connection_errors(caplog)
    assert await is_empty(vhost.amqp_url)


async def test_a_channel_that_the_broker_closes_is_opened_anew(
    vhost: Vhost, relay: Relay, gateway: Gateway, publisher: Publisher
) -> None:
    # Given a consumer whose channel acks a delivery twice, which the broker does not forgive
    await publish(publisher, range(10))
    taker = Taker()
    async with consuming(gateway, taker) as consumer:
        await taker.until(set(range(10)))
        channel = taker.deliveries[0].acks._channel  # to do what Acks never does
        await channel.basic_ack(1)
        await channel.basic_ack(1)

        # Then the others come again by another channel, on the same connection
        await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) >= 19), "they come again", within_s=30)
        assert {int(delivery.body) for delivery in taker.deliveries[10:]} == set(range(1, 10))
        taker.settle_all()
        await consumer.flush_acks()
    assert relay.connections == 1
    assert await is_empty(vhost.amqp_url)


async def test_acks_that_do_not_get_through_cost_the_channel_and_nothing_else(
    vhost: Vhost, gateway: Gateway, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given deliveries whose acks are not written in time, because the connection's writer takes nothing more
    monkeypatch.setattr(acks_module, "FLUSH_TIMEOUT_S", 0.1)
    await publish(publisher, range(5))
    taker = Taker()
    async with consuming(gateway, taker) as consumer:
        await taker.until(set(range(5)))
        channel = taker.deliveries[0].acks._channel  # to do what Acks never does
        monkeypatch.setattr(channel, "basic_ack", lambda *_, **__: asyncio.Event().wait())
        taker.settle_all()
        await consumer.flush_acks()

        # Then it comes again, by another channel, and is acked there
        await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) >= 10), "they come again", within_s=30)
        taker.settle_all()
        await consumer.flush_acks()
    assert await is_empty(vhost.amqp_url)


async def test_the_end_leaves_no_error_at_the_broker(
    vhost: Vhost, relay: Relay, gateway: Gateway, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a consumer under load
    await publish(publisher, range(1_000))
    taker = Taker()
    for _ in range(5):
        async with consuming(gateway, taker, prefetch=200, settles_the_rest=False):
            await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) >= 50), "some are taken", within_s=30)

            # When it ends with half of its deliveries settled, and the others not
            for delivery in taker.deliveries[::2]:
                delivery.settle()
        taker.deliveries.clear()

    # Then it was the same connection all the time, and the broker had nothing to say against it
    assert relay.connections == 1
    assert not connection_errors(caplog)


async def test_it_waits_for_a_queue_that_is_not_there_yet(relay: Relay, publisher: Publisher) -> None:
    # Given a gateway whose topology does not name the queue, and a consumer of it
    taker = Taker()
    async with Gateway(relay.url, name="bare", report=lambda _: None, topology=Topology(())) as gateway:
        await gateway.connection(within_s=20)
        async with consuming(gateway, taker):
            # When others declare it (as they connect, or publish), then it is consumed
            await publish(publisher, range(3))
            await taker.until(set(range(3)))


def connection_errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
