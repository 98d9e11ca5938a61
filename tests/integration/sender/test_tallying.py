"""What the attempts of a mailing came to is told to the store by its generation, for its self-pause."""

from typing import Any

import aiohttp

from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.sender.planting import Planting, now
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_summary, set_faults


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


async def test_a_mailing_that_the_provider_refuses_pauses_itself_and_what_is_under_way_is_parked(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    # Given a provider that refuses everything for good, and commands for the first messages of a mailing
    mailing_id = await world.mailing()
    client_ids = await world.clients(300)
    first, rest = client_ids[:250], client_ids[250:]
    await set_faults(control, {"kind": "status", "code": 400})
    await world.commands(await world.messages(mailing_id, first), mailing_id)
    unsent = await world.messages(mailing_id, rest)
    hands = Hands.of(world, MovableClock())

    async def is_paused() -> bool:
        await world.set_mailing(mailing_id, look_at=now())
        await hands.serve()
        return (await world.mailing_document(mailing_id))["status"] == "paused"

    # When sender and scheduler work, then it is paused with its reason
    async with senders.one():
        await eventually(is_paused, "the mailing paused itself")
        reason = (await world.mailing_document(mailing_id))["pause_reason"]
        assert reason.startswith("too_many_failures: "), reason
        # And a command that still comes parks its message, without a call
        await world.commands(unsent, mailing_id)
        await eventually(lambda: at_rest(world, mailing_id), "the rest is parked")
    statuses = await world.statuses(mailing_id)
    assert 200 <= statuses["failed"] <= len(first)
    assert statuses == {"failed": statuses["failed"], "waiting": len(client_ids) - statuses["failed"]}
    assert (await read_summary(control))["calls"] == statuses["failed"]


async def at_rest(world: Planting, mailing_id: int) -> bool:
    return set(await world.statuses(mailing_id)) == {"failed", "waiting"}
