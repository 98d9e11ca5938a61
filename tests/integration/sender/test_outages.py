"""Outages in the middle of the work: a lost channel, a lost network, a store that is away."""

import asyncio

import aiohttp
import pytest

from shared.store.store import Store
from tests.integration.broker.relay import Relay
from tests.integration.sender.crowd import in_agreement, plant, until_all_sent, until_called
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders
from tests.integration.sender.store_relay import StoreRelay
from tests.unit.fake_provider.running import RunningProvider, set_faults

COUNT = 150
SMALL = {"concurrency": 16, "batch_size": 40, "batch_wait_s": 0.01}


async def test_a_connection_that_is_lost_again_and_again_costs_neither_a_message_nor_a_double(
    world: Planting, control: aiohttp.ClientSession, fake: RunningProvider, broker_relay: Relay
) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.05})
    mailing_id = await plant(world, COUNT)

    async with Senders.over(broker_relay.url, world.store, fake.address) as senders, senders.one(**SMALL):
        for calls in (20, 60, 100):
            await until_called(control, calls)
            broker_relay.cut()
        await until_all_sent(world, mailing_id, COUNT)

    await in_agreement(world, control, mailing_id, COUNT)


@pytest.mark.parametrize("how", ["cut", "silence"])
async def test_a_store_that_is_away_for_a_moment_is_waited_for(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    store_relay: StoreRelay,
    module_database: str,
    how: str,
) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.05})
    mailing_id = await plant(world, COUNT)
    store = Store(store_relay.url, module_database)
    beside = Senders(store, senders.consuming, senders.publisher, senders.provider)

    async with beside.one(**SMALL):
        for calls in (30, 80):
            await until_called(control, calls)
            if how == "cut":
                store_relay.cut()
            else:
                store_relay.silence()
                await asyncio.sleep(0.5)  # so long it is away
                store_relay.speak()
        await until_all_sent(world, mailing_id, COUNT)
    await asyncio.to_thread(store.close)  # it asks the store, by the relay

    await in_agreement(world, control, mailing_id, COUNT)
