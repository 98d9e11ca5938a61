"""What the attempts of a mailing came to is told to the store by its generation, for its self-pause."""

from typing import Any

import aiohttp

from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import set_faults


async def test_failures_with_and_without_a_call_are_told_beside_the_others(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    # Given a mailing that was resumed twice; the provider refuses three clients, and two lack an attribute
    mailing_id = await world.mailing(text="Hello {name}", generation=2)
    client_ids = await world.clients(10, attributes={"name": "Ann"})
    nameless = await world.clients(2)
    refused = [int(f"7{client_id:010}") for client_id in client_ids[:3]]
    fault: dict[str, Any] = {"kind": "status", "code": 400, "for_phones": refused}
    await set_faults(control, fault)
    await world.commands(await world.messages(mailing_id, client_ids + nameless), mailing_id)

    # When a sender works, then all twelve are told
    async with senders.one():
        told = await eventually(lambda: all_told(world, mailing_id, 12), "all are told")
    assert sum(told) == 5
    assert await world.store.outcomes.recent(mailing_id, 1) == []


async def all_told(world: Planting, mailing_id: int, count: int) -> list[bool] | None:
    outcomes = await world.store.outcomes.recent(mailing_id, 2)
    return outcomes if len(outcomes) == count else None
