"""A queue reader tells depths and takes single entries; when the broker is away it says so, and nothing else."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from shared.broker import queues
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.queues import Depth, QueueReader
from shared.broker.topology import DEAD_QUEUE, SEND_QUEUE, ExchangeName
from shared.contracts.dead_letters import DEAD_ROUTING_KEY
from shared.errors import BrokerUnavailable
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.looking import delete, depth
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually


@pytest.fixture
async def relay(vhost: Vhost) -> AsyncIterator[Relay]:
    async with Relay(vhost.amqp_url) as relay:
        yield relay


@pytest.fixture
async def gateway(relay: Relay) -> AsyncIterator[Gateway]:
    async with Gateway(relay.url, name="reader", report=lambda _: None) as gateway:
        await gateway.connection(within_s=20)
        yield gateway


@pytest.fixture
async def reader(gateway: Gateway) -> AsyncIterator[QueueReader]:
    reader = QueueReader(gateway)
    yield reader
    await reader.close()


async def bury(gateway: Gateway, *bodies: bytes) -> None:
    letters = [Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, body, {"x-mailrun-reason": "why"}) for body in bodies]
    for letter in letters:
        await Publisher(gateway).publish(letter, within_s=20)


async def test_it_tells_what_is_ready_and_who_consumes(gateway: Gateway, reader: QueueReader) -> None:
    assert await reader.depth(DEAD_QUEUE) == Depth(ready=0, consumers=0)
    await bury(gateway, b"one", b"two")
    assert await reader.depth(DEAD_QUEUE) == Depth(ready=2, consumers=0)


async def test_it_takes_entries_one_by_one_and_gives_back_what_it_did_not_ack(
    vhost: Vhost, gateway: Gateway, reader: QueueReader
) -> None:
    # Given three entries
    await bury(gateway, b"one", b"two", b"three")

    # When all are taken, and the first two settled
    taken = [await reader.take(DEAD_QUEUE) for _ in range(4)]
    assert [one and one.body for one in taken] == [b"one", b"two", b"three", None]
    assert taken[0] is not None
    assert taken[0].headers["x-mailrun-reason"] == "why"
    for one in taken[:2]:
        assert one is not None
        one.settle()
    await reader.ack()
    await reader.close()

    # Then the third is back
    async def back() -> bool:
        return await depth(vhost.amqp_url, DEAD_QUEUE) == 1

    await eventually(back, "the third is back", within_s=10)
    again = await reader.take(DEAD_QUEUE)
    assert again is not None
    assert (again.body, again.redelivered) == (b"three", True)


async def test_a_queue_that_was_deleted_is_there_at_the_next_look(
    vhost: Vhost, relay: Relay, reader: QueueReader
) -> None:
    for queue in (SEND_QUEUE, DEAD_QUEUE):
        await delete(vhost.amqp_url, queue=queue)
        with pytest.raises(BrokerUnavailable, match="NOT_FOUND"):
            await (reader.depth(queue) if queue == SEND_QUEUE else reader.take(queue))
        assert await reader.depth(queue) == Depth(ready=0, consumers=0)
    assert relay.connections == 1


async def test_a_connection_that_is_cut_is_told_once_at_most(relay: Relay, reader: QueueReader) -> None:
    for cut in (relay.cut, lambda: relay.end_behind(1)):
        assert await reader.depth(DEAD_QUEUE) == Depth(ready=0, consumers=0)
        cut()

        async def answers() -> bool:
            try:
                return await reader.depth(DEAD_QUEUE) == Depth(ready=0, consumers=0)
            except BrokerUnavailable:
                return False

        await eventually(answers, "it answers again", within_s=20)


async def test_what_was_taken_over_a_lost_channel_is_not_acked_on_the_next(
    vhost: Vhost, relay: Relay, gateway: Gateway, reader: QueueReader
) -> None:
    # Given an entry that was taken, and whose channel was lost
    await bury(gateway, b"one", b"two")
    taken = await reader.take(DEAD_QUEUE)
    assert taken is not None
    relay.cut()
    await eventually(lambda: asyncio.sleep(0, not taken.acks.is_open), "the loss is known", within_s=10)

    # When another is taken, and the first is settled and acked
    async def taken_again() -> bool:
        try:
            return await reader.take(DEAD_QUEUE) is not None
        except BrokerUnavailable:
            return False

    await eventually(taken_again, "another is taken", within_s=20)
    taken.settle()
    await reader.ack()
    await reader.close()

    # Then both are there
    async def both_there() -> bool:
        return await depth(vhost.amqp_url, DEAD_QUEUE) == 2

    await eventually(both_there, "both are there", within_s=10)


async def test_a_hung_broker_is_told_in_time(
    relay: Relay, reader: QueueReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "RPC_TIMEOUT_S", 0.5)
    await reader.depth(DEAD_QUEUE)
    relay.silence()
    for ask in (reader.depth, reader.take):
        began_at_s = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            await ask(DEAD_QUEUE)
        assert time.monotonic() - began_at_s < 15
    relay.speak()

    async def answers() -> bool:
        try:
            return (await reader.depth(DEAD_QUEUE)).ready == 0
        except BrokerUnavailable:
            return False

    await eventually(answers, "it answers again", within_s=20)


async def test_a_look_that_is_given_up_is_not_told_as_a_loss(relay: Relay, reader: QueueReader) -> None:
    await reader.depth(DEAD_QUEUE)
    relay.silence()
    looking = asyncio.create_task(reader.depth(DEAD_QUEUE))
    await asyncio.sleep(0.1)
    looking.cancel()
    await asyncio.wait([looking])
    assert looking.cancelled()
    relay.speak()
