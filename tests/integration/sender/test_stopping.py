"""Stopping: nothing is lost, nothing is sent twice, and it takes no longer than it may, whatever is away."""

import asyncio
from typing import Any

import aiohttp
import pytest

from services.sender.prefetch import least_prefetch
from shared.store.store import Store
from tests.integration.broker.relay import Relay
from tests.integration.sender.crowd import in_agreement, plant, until_all_sent, until_called
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Sender, Senders
from tests.integration.sender.store_relay import StoreRelay
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import RunningProvider, set_faults

FULL = {"concurrency": 64, "batch_size": 200, "batch_wait_s": 0.02}  # as a sender is tuned
SMALL = {"concurrency": 16, "batch_size": 40, "batch_wait_s": 0.01}
FULL_HANDS, SMALL_HANDS = least_prefetch(64), least_prefetch(16)  # with a provider that is slow


async def until_it_holds(sender: Sender, tasks: int) -> None:
    async def holds() -> bool:
        return sender.holds >= tasks

    await eventually(holds, f"the sender holds {tasks} tasks", within_s=15, every_s=0.005)


async def test_a_sender_with_its_hands_full_stops_within_seconds_and_the_next_one_finishes(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.5})
    mailing_id = await plant(world, 600)

    async with senders.one(**FULL) as sender:
        await until_it_holds(sender, FULL_HANDS)
        await until_called(control, 64)
        took_s = await sender.stop()
    statuses = await world.statuses(mailing_id)

    assert took_s < 5
    assert set(statuses) <= {"sent", "queued"}
    assert await world.ready() >= statuses["queued"]  # what was handed over, and what goes back by itself

    await set_faults(control)
    async with senders.one(**FULL):
        await until_all_sent(world, mailing_id, 600)
    await in_agreement(world, control, mailing_id, 600)


async def test_an_idle_sender_stops_at_once(senders: Senders) -> None:
    async with senders.one() as sender:
        await asyncio.sleep(0.2)
        assert await sender.stop() < 2


async def test_a_sender_whose_provider_hangs_stops_when_its_calls_have_timed_out(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "hang"})
    mailing_id = await plant(world, 20)

    async with senders.one(concurrency=4) as sender:  # the provider's timeout is 1 s here
        await until_called(control, 4)
        took_s = await sender.stop()

    assert took_s < 4
    assert await world.statuses(mailing_id) == {"retrying": 4, "queued": 16}
    retries = await world.retries()
    assert len(retries["5s"]) == 4
    assert await world.ready() == 16


async def test_a_stop_with_the_store_silent_ends_in_time_and_gives_every_command_back(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    store_relay: StoreRelay,
    module_database: str,
) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.3})
    mailing_id = await plant(world, 600)
    store = Store(store_relay.url, module_database)
    beside = Senders(store, senders.consuming, senders.publisher, senders.provider)

    async with beside.one(**FULL, stop_within_s=2.0) as sender:
        await until_it_holds(sender, FULL_HANDS)
        await until_called(control, 64)
        store_relay.silence()
        took_s = await sender.stop()
    store_relay.cut()
    store_relay.speak()
    await asyncio.to_thread(store.close)  # it asks the store, by the relay

    assert took_s < 4
    unsent = 600 - (await world.statuses(mailing_id)).get("sent", 0)
    await eventually(lambda: _is_ready(world, unsent), f"{unsent} commands are back", within_s=30)


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_a_stop_with_the_broker_gone_ends_in_time_and_nothing_is_lost(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    fake: RunningProvider,
    broker_relay: Relay,
    how: str,
) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.2})
    mailing_id = await plant(world, 150)

    async with Senders.over(broker_relay.url, world.store, fake.address) as beyond:
        async with beyond.one(**SMALL, stop_within_s=2.0) as sender:
            await until_it_holds(sender, SMALL_HANDS)
            await until_called(control, 16)
            broker_relay.silence()
            if how == "cut":
                broker_relay.cut()
            took_s = await sender.stop()
        broker_relay.cut()
        broker_relay.speak()
    statuses = await world.statuses(mailing_id)

    assert took_s < 2.0 + 2.0 + 6.0  # what it may take, the last acks, closing a channel that does not answer
    assert set(statuses) <= {"sent", "queued"}
    await eventually(lambda: _is_ready(world, statuses["queued"]), "every unsent command is back", within_s=10)

    await set_faults(control)
    async with senders.one(**SMALL):
        await until_all_sent(world, mailing_id, 150)
    await in_agreement(world, control, mailing_id, 150)


async def _is_ready(world: Planting, at_least: int) -> Any:
    return await world.ready() >= at_least
