"""A walk over the dead letters that is cut short: no entry is lost, and the walks to come put the rest right."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from services.scheduler import walk
from services.scheduler.dead_letters import LOOK_EVERY_S
from services.scheduler.tools import LEASE_S
from services.scheduler.walk import Walk
from shared.broker.gateway import Gateway
from shared.broker.queues import QueueReader
from shared.errors import BrokerUnavailable
from tests.integration.broker.relay import Relay
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.scheduler.watching import BATCH, DEAD, DIFFER_S, Watching, ids, letter_of
from tests.integration.sender.planting import Planting


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "BATCH", BATCH)


@pytest.fixture
def watching(world: Planting, hands: Hands, clock: MovableClock) -> Watching:
    return Watching(world, hands, clock)


async def a_queue_to_walk(world: Planting, watching: Watching, clock: MovableClock) -> list[int]:
    """More than two batches of deserved entries and one that is not; a walk is due."""
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(2 * BATCH + 4), **DEAD)
    for message_id in (*message_ids, 2**62):
        await letter_of(world, message_id)
    await watching.look()
    clock.pass_s(DIFFER_S + LOOK_EVERY_S + 1)
    return message_ids


async def until_true(world: Planting, watching: Watching, clock: MovableClock, message_ids: list[int]) -> None:
    """The walks to come put right whatever the one that was cut short has left."""
    for _ in range(3):
        clock.pass_s(LEASE_S + 1)
        await watching.look_for_long()
    assert ids(await world.letters()) == message_ids


async def test_dying_between_the_copies_and_the_acks_loses_no_entry(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_ids = await a_queue_to_walk(world, watching, clock)

    async def die(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(QueueReader, "ack", die)
        with pytest.raises(KeyboardInterrupt):
            await watching.watch.look()

    assert await world.ready("messages.dead") >= len(message_ids)
    await until_true(world, watching, clock, message_ids)


async def test_losing_the_channel_loses_no_entry(
    world: Planting, hands: Hands, watching: Watching, clock: MovableClock, module_amqp_url: str
) -> None:
    message_ids = await a_queue_to_walk(world, watching, clock)
    async with (
        Relay(module_amqp_url) as relay,
        Gateway(relay.url, name="a walker", report=lambda _: None) as gateway,
    ):
        reader = QueueReader(gateway)
        taken = 0

        class Counting(QueueReader):
            async def take(self, queue: str) -> Any:
                nonlocal taken
                taken += 1
                if taken == BATCH + 5:  # in the middle of the second batch
                    relay.cut()
                    await asyncio.sleep(0.05)
                return await reader.take(queue)

            async def depth(self, queue: str) -> Any:
                return await reader.depth(queue)

            async def ack(self) -> None:
                await reader.ack()

            async def close(self) -> None:
                await reader.close()

        cut_short = Watching(world, hands, clock, Counting(gateway))
        with suppress(BrokerUnavailable):
            await cut_short.watch.look()

    assert taken >= BATCH + 5
    await until_true(world, watching, clock, message_ids)


async def test_losing_the_lease_in_the_middle_adds_nothing_that_was_not_looked_for(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_ids = await a_queue_to_walk(world, watching, clock)
    keep = Walk._keep

    async def keep_and_lose(one: Walk, batch: Any) -> Any:
        kept = await keep(one, batch)
        await world.documents["state"].update_one({}, {"$set": {"lease.token": "another's"}})
        return kept

    with monkeypatch.context() as losing:
        losing.setattr(Walk, "_keep", keep_and_lose)
        await watching.watch.look()

    assert await world.ready("messages.dead") == len(message_ids) + 1  # not one more, not one less
    await until_true(world, watching, clock, message_ids)


async def test_entries_that_somebody_else_holds_are_not_taken_for_missing(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator looks at the queue while it is walked."""
    message_ids = await a_queue_to_walk(world, watching, clock)
    operator = QueueReader(world.gateway)
    keep = Walk._keep

    async def keep_while_an_operator_looks(one: Walk, batch: Any) -> Any:
        for _ in range(4):
            await operator.take("messages.dead")
        return await keep(one, batch)

    with monkeypatch.context() as looking:
        looking.setattr(Walk, "_keep", keep_while_an_operator_looks)
        await watching.watch.look()
    await operator.close()

    assert await world.ready("messages.dead") <= len(message_ids) + 1  # nothing was added
    await until_true(world, watching, clock, message_ids)
