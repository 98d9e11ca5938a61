"""Mend: a message of which nothing is heard gets a recovering command, whatever its mailing's status and pace."""

from datetime import timedelta
from typing import Any

import pytest

from shared.domain.mailing import PAUSED, MailingStatus
from tests.integration.scheduler.scheduling import CHUNK, MEND_AFTER, Hands, MovableClock
from tests.integration.sender.planting import Planting, now

OVERDUE = {"due_at": now() - timedelta(seconds=1)}
NOT_DUE = {"due_at": now() + timedelta(hours=1)}


@pytest.mark.parametrize(
    ("status", "attempt", "asked_for"), [("queued", 0, 1), ("queued", 2, 3), ("retrying", 2, 3), ("sending", 3, 3)]
)
@pytest.mark.parametrize("mailing", ["running", "paused", "closed"])
async def test_an_overdue_message_gets_a_recovering_command_for_the_attempt_it_needs(
    world: Planting, hands: Hands, status: str, attempt: int, asked_for: int, mailing: str
) -> None:
    fields: dict[str, Any] = {"status": PAUSED} if mailing == "paused" else {}
    mailing_id = await world.mailing(**fields)
    if mailing == "closed":
        await world.set_mailing(mailing_id, closed_at=now(), end_at=now())
    message_id = await world.message(mailing_id, status=status, attempt=attempt, **OVERDUE)

    await hands.serve()

    if mailing == "closed" and status != "sending":
        assert (await world.found(message_id))["status"] == "expired"
        return
    [command] = await hands.published()
    assert (command.message_id, command.attempt, command.recover) == (message_id, asked_for, True)
    assert (await world.found(message_id))["due_at"] > now() + MEND_AFTER - timedelta(seconds=5)
    assert (await world.found(message_id))["status"] == status


async def test_what_is_not_overdue_or_final_is_left_alone(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    for status in ("queued", "retrying", "sending"):
        await world.message(mailing_id, status=status, **NOT_DUE)
    for status in ("sent", "failed", "unknown", "expired", "cancelled"):
        await world.message(mailing_id, status=status, due_at=None)

    await hands.serve_until_rest()

    assert await hands.published() == []


async def test_a_mended_message_is_mended_again_only_when_nothing_is_heard_of_it_for_long(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id = await world.mailing()
    await world.message(mailing_id, **OVERDUE)

    for passed_s, published in ((0, 1), (1, 0), (50, 0), (15, 1)):
        clock.pass_s(passed_s)
        await world.set_mailing(mailing_id, look_at=now())
        await hands.serve_until_rest()
        assert len(await hands.published()) == published


async def test_a_wiped_broker_is_refilled_chunk_by_chunk(world: Planting, hands: Hands, clock: MovableClock) -> None:
    mailing_id = await world.mailing()
    await world.messages(mailing_id, await world.clients(2 * CHUNK + 5), **OVERDUE)

    await hands.serve_until_rest()

    commands = await hands.published()
    assert len(commands) == len({one.message_id for one in commands}) == 2 * CHUNK + 5


async def test_a_paced_mailing_all_of_whose_commands_were_lost_is_mended_at_its_pace(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    """What is outstanding holds new commands up: if it held mends up as well, nothing would ever move again."""
    clock.stop()
    client_ids = await world.clients(100)
    fan_out = {"upper_id": max(client_ids), "cursor": client_ids[29], "done": False}
    mailing_id = await world.mailing(rate_per_s=10.0, fan_out=fan_out, look_at=clock.now())
    await world.messages(mailing_id, client_ids[:30], **OVERDUE)

    per_second = []
    for _ in range(3):
        await hands.serve_until_rest()
        per_second.append(len(await hands.published()))
        clock.pass_s(1.0)

    assert per_second == [10, 10, 10]
    assert await world.statuses(mailing_id) == {"queued": 30}


async def test_a_paced_mailing_publishes_its_rate_a_second_and_waits_for_its_senders(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    clock.stop()
    client_ids = await world.clients(100)
    await world.mailing(
        rate_per_s=10.0, look_at=clock.now(), fan_out={"upper_id": max(client_ids), "cursor": 0, "done": False}
    )

    per_second = []
    for _ in range(5):
        await hands.serve_until_rest()
        per_second.append(len(await hands.published()))
        clock.pass_s(1.0)

    assert per_second == [10, 10, 10, 0, 0]  # two seconds of the rate and one chunk are outstanding


@pytest.mark.parametrize("status", ["queued", "retrying", "sending"])
async def test_what_is_overdue_is_mended_while_the_fan_out_goes_on(world: Planting, hands: Hands, status: str) -> None:
    client_ids = await world.clients(3 * CHUNK)
    mailing_id = await world.mailing(fan_out={"upper_id": max(client_ids), "cursor": 0, "done": False})
    message_id = await world.message(mailing_id, status=status, attempt=1, **OVERDUE)

    await hands.serve()
    await hands.serve()

    assert message_id in {one.message_id for one in await hands.published()}
    assert sum((await world.statuses(mailing_id)).values()) == CHUNK + 1


async def test_a_parked_message_is_released_when_its_mailing_runs_again(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=PAUSED)
    message_id = await world.message(mailing_id, status="waiting", attempt=2, **OVERDUE)
    await hands.serve_until_rest()
    assert (await world.found(message_id))["status"] == "waiting"

    await world.set_mailing(mailing_id, status=MailingStatus.RUNNING.value, look_at=now())
    await hands.serve_until_rest()

    [command] = await hands.published()
    assert (command.message_id, command.attempt, command.recover) == (message_id, 3, False)
    assert (await world.found(message_id))["status"] == "queued"


async def test_a_full_queue_holds_everything_back(world: Planting, hands: Hands) -> None:
    client_ids = await world.clients(CHUNK)
    mailing_id = await world.mailing(fan_out={"upper_id": max(client_ids), "cursor": 0, "done": False})
    message_id = await world.message(mailing_id, **OVERDUE)
    await world.bodies([b"{}"] * 500)

    await hands.serve_until_rest()

    assert await world.ready() == 500
    assert (await world.mailing_document(mailing_id))["look_at"] > now() - timedelta(seconds=1)
    await world.take_all("messages.send")
    assert (await world.found(message_id))["status"] == "queued"
