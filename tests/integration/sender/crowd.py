"""A crowd: many messages of one mailing, on their way through a sender."""

import aiohttp

from tests.integration.sender.planting import Planting
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_summary


async def plant(world: Planting, count: int) -> int:
    """A mailing with so many messages, and a command for each."""
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(count))
    await world.commands(message_ids, mailing_id)
    return mailing_id


async def until_called(control: aiohttp.ClientSession, times: int) -> None:
    async def called() -> bool:
        return bool((await read_summary(control))["calls"] >= times)

    await eventually(called, f"{times} calls were made", within_s=15, every_s=0.01)


async def until_all_sent(world: Planting, mailing_id: int, count: int) -> None:
    async def all_sent() -> bool:
        return await world.statuses(mailing_id) == {"sent": count}

    await eventually(all_sent, "all are sent", within_s=30, every_s=0.05)


async def in_agreement(world: Planting, control: aiohttp.ClientSession, mailing_id: int, count: int) -> None:
    """Everybody was sent to, and the provider was called once for each."""
    assert await world.statuses(mailing_id) == {"sent": count}
    summary = await read_summary(control)
    assert (summary["calls"], summary["duplicates"]) == (count, 0)
    assert await world.documents["messages"].count_documents({"mailing_id": mailing_id, "ambiguous": True}) == 0
