"""Start and close: once, on time, whoever is first."""

import asyncio
from datetime import datetime, timedelta

from services.scheduler.loop import run_turns
from services.scheduler.start import close_due, start_due
from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, PAUSED, RUNNING, SCHEDULED
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.sender.planting import Planting, now
from tests.support.eventually import eventually

SOON = timedelta(seconds=5)


async def scheduled(world: Planting, **fields: object) -> int:
    return await world.mailing(**({"status": SCHEDULED, "fan_out": None} | fields))


async def test_a_mailing_starts_at_its_start_and_not_before(world: Planting, hands: Hands, clock: MovableClock) -> None:
    client_ids = await world.clients(3)
    mailing_id = await scheduled(world, start_at=now() + SOON)
    assert await start_due(hands.tools) == 0

    clock.pass_s(SOON.total_seconds() + 0.001)

    assert await start_due(hands.tools) == 1
    mailing = await world.mailing_document(mailing_id)
    assert mailing["status"] == "running"
    assert mailing["fan_out"] == {"upper_id": max(client_ids), "cursor": 0, "done": False}
    assert await start_due(hands.tools) == 0


async def test_four_schedulers_start_each_of_four_mailings_once(world: Planting, hands: Hands) -> None:
    await world.client()
    mailing_ids = [await scheduled(world, start_at=now()) for _ in range(4)]

    started = await asyncio.gather(*(start_due(hands.tools) for _ in range(4)))

    assert sum(started) == 4
    for mailing_id in mailing_ids:
        assert (await world.mailing_document(mailing_id))["status"] == "running"


async def test_only_what_is_scheduled_starts(world: Planting, hands: Hands) -> None:
    for status in (DRAFT, PAUSED, CANCELLED, COMPLETED):
        await scheduled(world, status=status, start_at=now() - SOON)

    assert await start_due(hands.tools) == 0


async def test_a_mailing_that_was_paused_until_its_end_gives_everybody_a_status(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    await world.clients(45)
    mailing_id = await scheduled(world, status=PAUSED, end_at=now() + SOON)
    clock.pass_s(SOON.total_seconds() + 1)

    assert await start_due(hands.tools) == 1
    await close_due(hands.tools)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"expired": 45}
    assert (await world.mailing_document(mailing_id))["status"] == "completed"
    assert await hands.published() == []


async def test_a_mailing_whose_whole_time_was_missed_expires_everybody_without_a_call(
    world: Planting, hands: Hands
) -> None:
    await world.clients(3)
    mailing_id = await scheduled(world, start_at=now() - 2 * SOON, end_at=now() - SOON)

    await start_due(hands.tools)
    await close_due(hands.tools)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"expired": 3}
    assert await hands.published() == []


async def test_closing_is_for_what_runs_or_is_paused_and_has_ended(world: Planting, hands: Hands) -> None:
    ended = {"end_at": now() - SOON}
    closed = [await world.mailing(**ended), await world.mailing(**ended, status=PAUSED)]
    not_closed = [
        await world.mailing(status=RUNNING),
        await world.mailing(**ended, status=COMPLETED),
        await world.mailing(**ended, status=CANCELLED),
        await scheduled(world, **ended),
    ]

    await close_due(hands.tools)
    await close_due(hands.tools)

    for mailing_id in closed:
        assert (await world.mailing_document(mailing_id))["closed_at"] is not None
    for mailing_id in not_closed:
        assert (await world.mailing_document(mailing_id))["closed_at"] is None


async def test_the_loop_starts_mailings_by_itself_within_250_ms(world: Planting, hands: Hands) -> None:
    """Well before the tick of a second. The best of three counts: the machine may be busy with something else."""
    await world.client()
    stop = asyncio.Event()
    turning = asyncio.create_task(
        run_turns(hands.tools, owner="a", woken=asyncio.Event(), stop=stop, report=lambda _: None)
    )
    starts = [now() + timedelta(seconds=seconds) for seconds in (1.3, 1.9, 2.5)]
    mailing_ids = [await scheduled(world, start_at=start_at, look_at=start_at) for start_at in starts]

    async def started_at() -> list[datetime]:
        found = await world.documents["mailings"].find({"_id": {"$in": mailing_ids}}).sort("_id", 1).to_list(None)
        return [one["started_at"] for one in found] if all("started_at" in one for one in found) else []

    began_at = await eventually(started_at, "they have started", within_s=10, every_s=0.05)
    stop.set()
    await turning

    delays = [at - start_at for at, start_at in zip(began_at, starts, strict=True)]
    assert min(delays) <= timedelta(milliseconds=250)
    assert all(timedelta(0) <= delay < timedelta(seconds=3) for delay in delays)
