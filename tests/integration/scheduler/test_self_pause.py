"""Self-pause: a mailing of which too many outcomes are permanent failures pauses itself, once; a resume begins anew."""

from datetime import timedelta
from typing import Any

import orjson

from shared.domain.mailing import PAUSED, RUNNING
from tests.integration.scheduler.scheduling import Hands
from tests.integration.sender.planting import Planting, now

REASON = "too_many_failures: 150 of the last 250 outcomes"


async def told(world: Planting, mailing_id: int, *, generation: int = 0, failed: int = 150, others: int = 100) -> None:
    """Outcomes as the senders tell them."""
    await world.store.outcomes.add(mailing_id, generation, [False] * others + [True] * failed, now())


async def with_open_message(world: Planting, **fields: Any) -> int:
    mailing_id = await world.mailing(**fields)
    await world.message(mailing_id, due_at=now() + timedelta(hours=1))
    return mailing_id


async def kinds(world: Planting) -> list[str]:
    return [orjson.loads(entry.body)["kind"] for entry in await world.take_all("scheduler.wakeups")]


async def test_too_many_permanent_failures_pause_it_with_the_reason_and_an_event(world: Planting, hands: Hands) -> None:
    mailing_id = await with_open_message(world)
    await told(world, mailing_id)
    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert (mailing["status"], mailing["pause_reason"]) == ("paused", REASON)
    assert await kinds(world) == ["paused"]
    assert await hands.published() == []


async def test_what_is_not_planned_yet_stays_so(world: Planting, hands: Hands) -> None:
    client_ids = await world.clients(5)
    fan_out = {"upper_id": client_ids[-1], "cursor": 0, "done": False}
    mailing_id = await world.mailing(fan_out=fan_out)
    await told(world, mailing_id)
    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert (mailing["status"], mailing["fan_out"]) == ("paused", fan_out)
    assert await world.statuses(mailing_id) == {}


async def test_half_of_them_or_fewer_than_two_hundred_pause_nothing(world: Planting, hands: Hands) -> None:
    half, few = await with_open_message(world), await with_open_message(world)
    await told(world, half, failed=150, others=150)
    await told(world, few, failed=199, others=0)
    await hands.serve_until_rest()

    for mailing_id in (half, few):
        assert (await world.mailing_document(mailing_id))["status"] == "running"
    assert await kinds(world) == []


async def test_after_a_resume_what_was_counted_before_it_pauses_nothing(world: Planting, hands: Hands) -> None:
    # Given a mailing that paused itself and was resumed
    mailing_id = await with_open_message(world, status=PAUSED)
    await told(world, mailing_id)
    seen = await world.store.mailings.get(mailing_id)
    resumed = await world.store.mailings.change(seen, now(), status=RUNNING)
    assert resumed is not None

    # When more comes of claims that were made before that, then it goes on
    await told(world, mailing_id, generation=seen.generation)
    await hands.serve_until_rest()
    assert (await world.mailing_document(mailing_id))["status"] == "running"

    # And it pauses itself again by what was claimed since
    await told(world, mailing_id, generation=resumed.generation)
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()
    assert (await world.mailing_document(mailing_id))["status"] == "paused"


async def test_one_that_has_nothing_more_to_send_completes(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    await world.message(mailing_id, status="failed", due_at=None)
    await told(world, mailing_id)
    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["status"] == "completed"
    assert await kinds(world) == ["completed"]


async def test_one_that_was_resumed_between_the_look_and_the_pause_goes_on(
    world: Planting, hands: Hands, monkeypatch: Any
) -> None:
    # Given a scheduler that has found too many failures
    mailing_id = await with_open_message(world)
    await told(world, mailing_id)
    has_open = world.store.messages.has_open

    async def pause_and_resume(asked_of: int) -> bool:
        for status in (PAUSED, RUNNING):
            assert await world.store.mailings.change(await world.store.mailings.get(asked_of), now(), status=status)
        monkeypatch.undo()
        return await has_open(asked_of)

    monkeypatch.setattr(world.store.messages, "has_open", pause_and_resume)

    # When an operator pauses and resumes it before it is paused
    await hands.serve_until_rest()

    # Then it runs
    mailing = await world.mailing_document(mailing_id)
    assert (mailing["status"], mailing["pause_reason"]) == ("running", None)
    assert await kinds(world) == []
