"""Given a provider that turned slow while a sender held hundreds of commands, an urgent mailing is not behind them."""

from collections.abc import Callable

import aiohttp
import pytest

from services.sender import prefetch
from tests.integration.sender.crowd import plant
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Sender, Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_summary, set_faults

FAST, SLOWER, SLOW = 200, 100, 24  # what a sender comes to want, one after the other


async def test_an_urgent_mailing_does_not_stand_behind_what_was_taken_before(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sender with so many commands as it takes while a fast provider turns slow
    await set_faults(control, {"kind": "slow", "delay_s": 0.5})
    await plant(world, FAST + SLOWER + SLOW)
    async with senders.one(stop_within_s=2.0, concurrency=8, batch_size=100) as sender:
        for wanted, holds in ((FAST, FAST), (SLOWER, FAST + SLOWER), (SLOW, FAST + SLOWER + SLOW)):
            monkeypatch.setattr(prefetch, "wanted_prefetch", _always(wanted))
            await _until_delivered(sender, holds)

        # When an urgent mailing comes
        urgent_id = await plant(world, 5)
        called = (await read_summary(control))["calls"]

        async def one_is_sent() -> bool:
            return "sent" in await world.statuses(urgent_id)

        await eventually(one_is_sent, "the urgent one begins", within_s=120, every_s=0.05)

        # Then it is called for after those that were claimed before it
        assert (await read_summary(control))["calls"] - called < FAST / 2


def _always(value: int) -> Callable[..., int]:
    return lambda *_, **__: value


async def _until_delivered(sender: Sender, count: int) -> None:
    async def delivered() -> bool:
        return sender.deliveries >= count

    await eventually(delivered, f"{count} are delivered", within_s=60, every_s=0.02)
