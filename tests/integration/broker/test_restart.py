"""A node that is killed (kill -9) and comes back: nothing that was confirmed is lost, and everybody goes on."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.local.rabbit import PrivateRabbit
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.queues import QueueReader
from shared.broker.topology import DEAD_QUEUE, SEND_QUEUE, ExchangeName
from shared.contracts.dead_letters import DEAD_ROUTING_KEY
from shared.errors import BrokerUnavailable
from tests.integration.broker.consuming import Taker, consuming, until_all_is_taken
from tests.integration.broker.looking import empty
from tests.support.eventually import eventually

COMMANDS = 2_000
BACK_WITHIN_S = 120.0


@pytest.fixture(scope="module")
def killed_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """A node for nobody else, since it is killed."""
    with PrivateRabbit(tmp_path_factory.mktemp("killed-node")) as node:
        yield node


@pytest.fixture
async def reports() -> list[str]:
    return []


@pytest.fixture
async def gateway(killed_node: PrivateRabbit, reports: list[str]) -> AsyncIterator[Gateway]:
    async with Gateway(killed_node.amqp_url, name="survivor", report=reports.append) as gateway:
        await gateway.connection(within_s=30)
        for queue in (SEND_QUEUE, DEAD_QUEUE):
            await eventually(lambda: asyncio.sleep(0, killed_node.keeps_queue(queue)), "the queue is on disk")  # noqa: B023
        yield gateway


async def restart(node: PrivateRabbit) -> None:
    """Kill the node and start it again, while the loop runs on."""
    node.kill()
    node.spawn()
    await asyncio.to_thread(node.wait_until_ready)


def command(number: int) -> Publication:
    return Publication(ExchangeName.MESSAGES, "message.send.v1", str(number).encode())


async def test_what_was_confirmed_survives_a_kill_in_the_middle(
    killed_node: PrivateRabbit, gateway: Gateway, reports: list[str]
) -> None:
    # Given two thousand commands, being published one by one by many
    publisher = Publisher(gateway)
    confirmed: set[int] = set()

    async def publish(number: int) -> None:
        await publisher.publish(command(number), within_s=BACK_WITHIN_S)
        confirmed.add(number)

    publishing = asyncio.gather(*map(publish, range(COMMANDS)))

    # When the node is killed in the middle
    await eventually(lambda: asyncio.sleep(0, len(confirmed) > COMMANDS / 10), "some are confirmed", every_s=0.001)
    killed_node.kill()
    before = set(confirmed)
    assert len(before) < COMMANDS
    killed_node.spawn()
    await asyncio.to_thread(killed_node.wait_until_ready)

    # Then all are published in the end, those that were confirmed before among them
    await publishing
    there = {int(one.body) for one in await empty(killed_node.amqp_url, SEND_QUEUE)}
    assert there == confirmed == set(range(COMMANDS))
    assert reports[-1] == "up"
    assert any(report.startswith("away: ") for report in reports)


async def test_a_consumer_goes_on_after_a_kill(killed_node: PrivateRabbit, gateway: Gateway) -> None:
    # Given a consumer with fifty of a hundred commands in hand, half of them done
    await Publisher(gateway).publish_all(map(command, range(100)), within_s=60)
    taker = Taker()
    async with consuming(gateway, taker, prefetch=50) as consumer:
        await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) == 50), "fifty are in hand")
        for delivery in taker.deliveries[:25]:
            delivery.settle()
        await consumer.flush_acks()

        # When the node is killed and comes back
        await restart(killed_node)

        # Then whatever was not acked comes again, and is acked
        await until_all_is_taken(killed_node.amqp_url, consumer, taker)
    assert taker.numbers == set(range(100))
    assert {int(one.body) for one in taker.deliveries if one.redelivered} >= set(range(25, 50))
    assert await empty(killed_node.amqp_url, SEND_QUEUE) == []


async def test_a_reader_says_that_the_node_is_away_and_finds_it_again(
    killed_node: PrivateRabbit, gateway: Gateway
) -> None:
    # Given a reader with an entry in hand
    await Publisher(gateway).publish(Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, b"kept"), within_s=30)
    reader = QueueReader(gateway)
    assert (await reader.depth(DEAD_QUEUE)).ready == 1
    assert await reader.take(DEAD_QUEUE) is not None

    # When the node is killed, then it says so
    killed_node.kill()
    with pytest.raises(BrokerUnavailable):
        await reader.depth(DEAD_QUEUE)

    # When it comes back, then the entry is where it was
    killed_node.spawn()
    await asyncio.to_thread(killed_node.wait_until_ready)

    async def there() -> bool:
        try:
            return (await reader.depth(DEAD_QUEUE)).ready == 1
        except BrokerUnavailable:
            return False

    await eventually(there, "the entry is there", within_s=BACK_WITHIN_S)
    await reader.close()
    assert len(await empty(killed_node.amqp_url, DEAD_QUEUE)) == 1


async def test_a_gateway_is_back_soon_after_its_node(
    killed_node: PrivateRabbit, gateway: Gateway, reports: list[str]
) -> None:
    killed_node.kill()
    await eventually(lambda: asyncio.sleep(0, reports[-1].startswith("away: ")), "the loss is known", within_s=10)
    killed_node.spawn()
    await asyncio.to_thread(killed_node.wait_until_ready)
    ready_at_s = time.monotonic()
    await gateway.connection(within_s=30)
    assert time.monotonic() - ready_at_s < 15


async def test_a_node_that_comes_back_with_an_empty_disk_is_declared_and_consumed(
    killed_node: PrivateRabbit, gateway: Gateway
) -> None:
    # Given a consumer that has had commands
    await Publisher(gateway).publish_all(map(command, range(5)), within_s=60)
    taker = Taker()
    async with consuming(gateway, taker, prefetch=50) as consumer:
        await eventually(lambda: asyncio.sleep(0, len(taker.deliveries) == 5), "they are in hand")

        # When the node is killed and its disk is wiped
        killed_node.kill()
        shutil.rmtree(killed_node.log.parent / "data")
        killed_node.spawn()
        await asyncio.to_thread(killed_node.wait_until_ready)

        # Then what is published now is consumed, and what was lost is for others to publish again
        await Publisher(gateway).publish_all(map(command, range(5, 10)), within_s=BACK_WITHIN_S)
        await taker.until(set(range(10)))
        await until_all_is_taken(killed_node.amqp_url, consumer, taker)
    assert len(taker.deliveries) == 10
