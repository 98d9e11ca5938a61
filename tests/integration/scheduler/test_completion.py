"""Completion: once, when nothing is open; and what is found open afterwards."""

from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.scheduler.completion import complete, reopen_ended_lately
from shared.domain.mailing import CANCELLED, COMPLETED, PAUSED
from tests.integration.scheduler.scheduling import LEASE_S, Hands, MovableClock
from tests.integration.sender.planting import Planting, now

REPLAY = {"asked_at": now(), "statuses": [], "reason": None, "message_ids": []}


async def events(world: Planting) -> list[dict[str, Any]]:
    return [orjson.loads(entry.body) for entry in await world.take_all("scheduler.wakeups")]


async def test_a_mailing_of_which_nothing_is_open_completes_with_its_statistics_and_an_event(
    world: Planting, hands: Hands
) -> None:
    mailing_id = await world.mailing()
    for status in ("sent", "sent", "failed", "unknown"):
        await world.message(mailing_id, status=status, due_at=None)

    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert mailing["status"] == "completed"
    assert mailing["completed_at"] is not None
    assert (mailing["look_at"], mailing["lease"]) == (None, None)
    counts = mailing["statistics"]["counts"]
    assert (counts["sent"], counts["failed"], counts["unknown"]) == (2, 1, 1)
    [event] = await events(world)
    assert (event["kind"], event["mailing_id"]) == ("completed", mailing_id)


async def test_an_audience_of_nobody_completes(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(fan_out={"upper_id": 0, "cursor": 0, "done": False})

    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["status"] == "completed"


@pytest.mark.parametrize("status", ["waiting", "queued", "sending", "retrying"])
async def test_an_open_message_keeps_it_running(world: Planting, hands: Hands, status: str) -> None:
    mailing_id = await world.mailing()
    await world.message(mailing_id, status=status, due_at=now() + timedelta(hours=1))

    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["status"] == "running"
    assert await events(world) == []


@pytest.mark.parametrize(("looks_for_s", "looks_again_in_s"), [(0.0, 0.3), (0.1, 4.0), (30.0, 5.0)])
async def test_a_store_that_takes_long_to_say_what_is_open_is_asked_less_often(
    world: Planting,
    hands: Hands,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
    looks_for_s: float,
    looks_again_in_s: float,
) -> None:
    # Given a mailing with a message on its way, and a store that takes its time for each of four questions
    mailing_id = await world.mailing()
    await world.message(mailing_id, status="queued", due_at=now() + timedelta(hours=1))
    clock.stop()
    ask = world.store.messages.next_due_at

    async def ask_slowly(*asked: Any) -> Any:
        clock.pass_s(looks_for_s * 4 / 3)
        return await ask(*asked)

    monkeypatch.setattr(world.store.messages, "next_due_at", ask_slowly)

    # When the scheduler has found nothing to do
    await hands.serve_until_rest()

    # Then it looks again after ten times as long, and not later than that
    look_at = (await world.mailing_document(mailing_id))["look_at"]
    assert (look_at - clock.now()).total_seconds() == pytest.approx(looks_again_in_s, abs=0.002)


async def test_a_paused_mailing_does_not_complete_before_its_end(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=PAUSED)
    await world.message(mailing_id, status="sent", due_at=None)

    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["status"] == "paused"


@pytest.mark.parametrize(
    "meanwhile",
    [{"replays": [REPLAY]}, {"fan_out.done": False}, {"status": "paused"}, {"status": "cancelled"}],
    ids=["a replay is pending", "not planned yet", "paused", "cancelled"],
)
async def test_it_does_not_complete_over_what_happened_in_the_meantime(
    world: Planting, hands: Hands, meanwhile: dict[str, Any]
) -> None:
    mailing_id = await world.mailing()
    leased = await hands.lease()
    await world.set_mailing(mailing_id, **meanwhile)

    chunk = await complete(leased, hands.tools)

    assert chunk is not None and not chunk.released
    assert (await world.mailing_document(mailing_id))["status"] != "completed"


async def test_a_scheduler_that_lost_its_lease_completes_nothing(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id = await world.mailing()
    stalled = await hands.lease()
    clock.pass_s(LEASE_S + 1)
    other = Hands.of(world, clock, owner="another")
    await other.lease()

    await complete(stalled, hands.tools)

    assert (await world.mailing_document(mailing_id))["status"] == "running"


async def test_a_message_planned_late_reopens_a_completed_mailing(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=COMPLETED, look_at=None, statistics={"counts": {}, "ambiguous": 0})
    message_id = await world.message(mailing_id, due_at=now())

    await reopen_ended_lately(hands.tools)
    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert (mailing["status"], mailing["statistics"]) == ("running", None)
    assert {one.message_id for one in await hands.published()} == {message_id}


async def test_a_message_planned_late_for_a_mailing_that_has_ended_expires(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=COMPLETED, look_at=None, end_at=now())
    await world.set_mailing(mailing_id, closed_at=now())
    await world.message(mailing_id)

    await reopen_ended_lately(hands.tools)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"expired": 1}
    assert (await world.mailing_document(mailing_id))["status"] == "completed"


async def test_a_message_planned_late_for_a_cancelled_mailing_is_swept(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=CANCELLED, look_at=None)
    await world.message(mailing_id)

    await reopen_ended_lately(hands.tools)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"cancelled": 1}
    assert (await world.mailing_document(mailing_id))["status"] == "cancelled"


async def test_what_is_over_and_final_is_left_alone(world: Planting, hands: Hands) -> None:
    for status in (COMPLETED, CANCELLED):
        mailing_id = await world.mailing(status=status, look_at=None)
        await world.message(mailing_id, status="sent", due_at=None)

    await reopen_ended_lately(hands.tools)

    assert not await hands.serve()
