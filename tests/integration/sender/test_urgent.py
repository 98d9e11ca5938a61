"""Given a provider that turned slow while a sender held hundreds of commands, an urgent mailing is not behind them."""

import aiohttp
import pytest

from services.sender import prefetch
from tests.integration.sender.crowd import plant
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_summary, set_faults

HELD = 300


async def test_an_urgent_mailing_does_not_stand_behind_what_was_taken_before(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sender with so many commands as it takes from a fast provider
    monkeypatch.setattr(prefetch, "LOOK_EVERY_S", 1.0)
    await set_faults(control, {"kind": "slow", "delay_s": 0.5})
    await plant(world, HELD)
    async with senders.one(stop_within_s=2.0, concurrency=8, batch_size=100) as sender:
        sender.pipeline._consumer.set_prefetch(HELD)

        async def holds_all() -> bool:
            return sender.deliveries == HELD

        async def has_noticed() -> bool:
            return sender.pipeline._consumer.prefetch < HELD / 2

        await eventually(holds_all, "it holds them", within_s=15, every_s=0.01)
        await eventually(has_noticed, "it asks for less", within_s=15, every_s=0.01)

        # When an urgent mailing comes
        urgent_id = await plant(world, 5)
        called = (await read_summary(control))["calls"]

        async def one_is_sent() -> bool:
            return "sent" in await world.statuses(urgent_id)

        await eventually(one_is_sent, "the urgent one begins", within_s=60, every_s=0.05)

        # Then it is called for after those that were claimed before it
        called = (await read_summary(control))["calls"] - called
        assert called < HELD / 3
