"""The loop: schedulers beside each other, poison, a store or a broker that is away, and no turn for nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from services.scheduler import loop
from services.scheduler.loop import run_turns
from services.scheduler.tools import Tools
from shared.broker.topology import retry_queue
from shared.domain.mailing import SCHEDULED
from shared.domain.message import SENT
from shared.domain.retry import LADDER
from shared.errors import BrokerUnavailable, StoreUnavailable
from tests.integration.broker.looking import delete, depth
from tests.integration.scheduler.scheduling import CHUNK, Hands, MovableClock
from tests.integration.sender.planting import Planting, now
from tests.support.eventually import eventually


@asynccontextmanager
async def turning(*tools: Tools) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Schedulers at work, each with a name of its own."""
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(
            run_turns(one, owner=f"scheduler {number}", woken=asyncio.Event(), stop=stop, report=lambda _: None)
        )
        for number, one in enumerate(tools)
    ]
    try:
        yield tasks
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks)


async def started(world: Planting, count: int, **fields: Any) -> tuple[int, list[int]]:
    client_ids = await world.clients(count)
    fan_out = {"upper_id": max(client_ids), "cursor": min(client_ids) - 1, "done": False}
    return await world.mailing(**({"fan_out": fan_out} | fields)), client_ids


async def until_planned(world: Planting, mailing_ids: list[int]) -> None:
    async def planned() -> bool:
        return await world.documents["mailings"].count_documents(
            {"_id": {"$in": mailing_ids}, "fan_out.done": True, "lease": None}
        ) == len(mailing_ids)

    await eventually(planned, "the fan-outs are done", within_s=20, every_s=0.05)


async def status_of(world: Planting, mailing_id: int) -> str:
    status: str = (await world.mailing_document(mailing_id))["status"]
    return status


async def test_two_schedulers_plan_five_mailings_with_nobody_missing_and_nobody_twice(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    client_ids = await world.clients(3 * CHUNK)
    fan_out = {"upper_id": max(client_ids), "cursor": 0, "done": False}
    mailing_ids = [await world.mailing(fan_out=fan_out) for _ in range(5)]

    other = Hands.of(world, clock)
    async with turning(hands.tools, other.tools):
        await until_planned(world, mailing_ids)
        commands = await hands.published()
        messages = await world.documents["messages"].find({}).to_list(None)
        assert len({(one["mailing_id"], one["client_id"]) for one in messages}) == len(messages) == 5 * 3 * CHUNK
        assert sorted(one.message_id for one in commands) == sorted(one["_id"] for one in messages)

        await world.documents["messages"].update_many({}, {"$set": {"status": SENT.value, "due_at": None}})
        for mailing_id in mailing_ids:

            async def completed(mailing_id: int = mailing_id) -> bool:
                return await status_of(world, mailing_id) == "completed"

            await eventually(completed, "it completes", within_s=10, every_s=0.05)

    events = await world.take_all("scheduler.wakeups")
    assert len(events) == 5  # each was completed by one of the two, once


async def test_a_mailing_that_cannot_be_read_keeps_nobody_else_waiting(world: Planting, hands: Hands) -> None:
    poison_id, _ = await started(world, 1)
    await world.set_mailing(poison_id, audience="everybody")
    odd_id, _ = await started(world, 1, text="Hello {")  # it can be read, and not be planned
    scheduled_id = await world.mailing(status=SCHEDULED, fan_out=None, start_at=now())
    await world.set_mailing(scheduled_id, on_unknown="guess")
    mailing_id, _ = await started(world, 3 * CHUNK)

    async with turning(hands.tools) as [task]:
        await until_planned(world, [mailing_id])
        assert not task.done()

    assert await world.statuses(mailing_id) == {"queued": 3 * CHUNK}
    for one in (poison_id, odd_id):  # they are looked at again, and not all the time
        assert (await world.mailing_document(one))["look_at"] > now() + timedelta(seconds=20)
    assert await world.statuses(odd_id) == {}


async def test_a_client_that_cannot_be_read_holds_up_its_own_mailing_alone(world: Planting, hands: Hands) -> None:
    poison_id, client_ids = await started(world, 3)
    await world.documents["clients"].update_one({"_id": client_ids[1]}, {"$unset": {"phone": ""}})
    mailing_id, _ = await started(world, CHUNK)

    async with turning(hands.tools) as [task]:
        await until_planned(world, [mailing_id])
        assert not task.done()

    assert not (await world.mailing_document(poison_id))["fan_out"]["done"]


async def test_a_mailing_that_another_scheduler_serves_is_no_reason_to_spin(
    world: Planting, hands: Hands, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(world, CHUNK)
    await Hands.of(world, clock, owner="another").lease()
    turns = 0
    close_due = loop.close_due

    async def count(tools: Tools) -> None:
        nonlocal turns
        turns += 1
        await close_due(tools)

    monkeypatch.setattr(loop, "close_due", count)
    async with turning(hands.tools):
        await asyncio.sleep(1.5)

    assert turns <= 4


async def test_an_event_that_comes_during_a_turn_is_not_slept_over(world: Planting, hands: Hands) -> None:
    woken, stop = asyncio.Event(), asyncio.Event()
    slow = Tools(
        hands.tools.store,
        hands.tools.publisher,
        hands.tools.backpressure,
        hands.tools.clock,
        type(hands.tools.limits)(chunk_clients=CHUNK, max_attempts=6, mend_after=timedelta(60), tick=timedelta(60)),
    )
    task = asyncio.create_task(run_turns(slow, owner="a", woken=woken, stop=stop, report=lambda _: None))
    await asyncio.sleep(0.3)  # it sleeps for a minute now

    mailing_id, _ = await started(world, CHUNK)
    woken.set()

    await until_planned(world, [mailing_id])
    stop.set()
    async with asyncio.timeout(5):
        await task


async def test_a_broker_that_is_away_puts_chunks_off_and_loses_nothing(
    world: Planting, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailing_id, _ = await started(world, CHUNK)

    async def away(*_: object, **__: object) -> None:
        raise BrokerUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(world.publisher, "publish_all", away)
        await hands.serve()
    mailing = await world.mailing_document(mailing_id)
    assert mailing["lease"] is None
    assert now() < mailing["look_at"] < now() + timedelta(seconds=2)

    async with turning(hands.tools):
        await until_planned(world, [mailing_id])
    assert len(await hands.published()) == CHUNK


async def test_a_store_that_is_away_in_the_middle_of_a_chunk_delays_the_mailing_by_a_moment(
    world: Planting, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the sixty seconds of the lease that could not be given back."""
    mailing_id, _ = await started(world, CHUNK)
    release = world.store.mailing_work.release
    failures = 2

    async def away_twice(*arguments: Any, **more: Any) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("away")
        return await release(*arguments, **more)

    monkeypatch.setattr(world.store.mailing_work, "release", away_twice)
    async with turning(hands.tools):
        await until_planned(world, [mailing_id])

    assert await world.statuses(mailing_id) == {"queued": CHUNK}


async def test_an_urgent_mailing_does_not_wait_for_a_huge_one(world: Planting, hands: Hands) -> None:
    await started(world, 20 * CHUNK)
    urgent_id, _ = await started(world, 2 * CHUNK)

    for _ in range(6):
        await hands.serve()

    assert await world.statuses(urgent_id) == {"queued": 2 * CHUNK}


async def test_a_step_of_the_ladder_that_was_deleted_is_declared_again(world: Planting, module_amqp_url: str) -> None:
    # Given a queue that nobody publishes to or consumes from now
    queue = retry_queue(LADDER[-1])
    await delete(module_amqp_url, queue=queue)
    assert await depth(module_amqp_url, queue) == -1

    # When a scheduler is at work
    stop = asyncio.Event()
    watching = asyncio.create_task(loop.watch_topology(world.gateway, stop, every_s=0.2))

    # Then the queue is there again
    async def is_there() -> bool:
        return await depth(module_amqp_url, queue) == 0

    await eventually(is_there, "the queue")
    stop.set()
    await watching
