"""Sweep, settle and removal: a mailing that is over leaves nobody without a final status."""

from datetime import timedelta

import pytest

from services.scheduler.start import close_due
from shared.domain.mailing import CANCELLED, PAUSED
from tests.integration.scheduler.scheduling import CHUNK, Hands, MovableClock
from tests.integration.sender.planting import Planting, now

UNSENT = ("waiting", "queued", "retrying")
FINAL = ("sent", "failed", "unknown", "expired", "cancelled")


async def everything(world: Planting, mailing_id: int) -> None:
    """A message in every status."""
    for status in (*UNSENT, "sending"):
        await world.message(mailing_id, status=status, attempt=1)
    for status in FINAL:
        await world.message(mailing_id, status=status, attempt=1, due_at=None)


async def test_a_cancelled_mailing_is_swept_until_nothing_is_open_and_then_its_statistics_are_frozen(
    world: Planting, hands: Hands
) -> None:
    mailing_id = await world.mailing(status=CANCELLED)
    await everything(world, mailing_id)

    await hands.serve_until_rest()

    before = {"cancelled": 4, "sending": 1, "sent": 1, "failed": 1, "unknown": 1, "expired": 1}
    assert await world.statuses(mailing_id) == before
    assert (await world.mailing_document(mailing_id))["statistics"] is None

    # the sender, who reads that the mailing is cancelled, parks what it holds
    await world.documents["messages"].update_many({"status": "sending"}, {"$set": {"status": "waiting"}})
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert await world.statuses(mailing_id) == {"cancelled": 5, "sent": 1, "failed": 1, "unknown": 1, "expired": 1}
    assert mailing["statistics"]["counts"]["cancelled"] == 5
    assert mailing["statistics"]["audience_size"] == 9
    assert mailing["look_at"] is None
    assert mailing["status"] == "cancelled"


async def test_a_cancel_stops_the_fan_out(world: Planting, hands: Hands) -> None:
    client_ids = await world.clients(3 * CHUNK)
    mailing_id = await world.mailing(fan_out={"upper_id": max(client_ids), "cursor": 0, "done": False})
    await hands.serve()
    await world.set_mailing(mailing_id, status="cancelled", look_at=now())

    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"cancelled": CHUNK}


async def test_the_end_expires_what_is_unsent_plans_the_rest_as_expired_and_completes(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    client_ids = await world.clients(3 * CHUNK)
    fan_out = {"upper_id": max(client_ids), "cursor": 0, "done": False}
    mailing_id = await world.mailing(fan_out=fan_out, end_at=now() + timedelta(seconds=30))
    await hands.serve()
    clock.pass_s(31)

    await close_due(hands.tools)
    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert await world.statuses(mailing_id) == {"expired": 3 * CHUNK}
    assert mailing["status"] == "completed"
    assert mailing["statistics"]["counts"]["expired"] == 3 * CHUNK
    reasons = await world.documents["messages"].distinct("reason", {"mailing_id": mailing_id})
    assert reasons == ["mailing_ended"]


async def test_what_is_being_sent_at_the_end_is_waited_for(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(end_at=now(), closed_at=now())
    await world.set_mailing(mailing_id, closed_at=now())
    message_id = await world.claimed(mailing_id, age_s=1, due_at=now() + timedelta(seconds=90))
    await hands.serve_until_rest()
    assert (await world.mailing_document(mailing_id))["status"] == "running"

    await world.set_message(message_id, status="sent", due_at=None)
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["status"] == "completed"


async def test_a_paused_mailing_expires_at_its_end(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=PAUSED, end_at=now())
    await world.message(mailing_id, status="waiting")

    await close_due(hands.tools)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"expired": 1}
    assert (await world.mailing_document(mailing_id))["status"] == "completed"


@pytest.mark.parametrize("how", ["cancelled", "closed"])
@pytest.mark.parametrize("status", UNSENT)
async def test_an_ambiguous_message_ends_unknown_with_its_dead_letter(
    world: Planting, hands: Hands, how: str, status: str
) -> None:
    mailing_id = await world.mailing(end_at=now())
    await world.set_mailing(mailing_id, **({"status": "cancelled"} if how == "cancelled" else {"closed_at": now()}))
    message_id = await world.message(mailing_id, status=status, attempt=1, ambiguous=True)

    await hands.serve_until_rest()

    assert (await world.found(message_id))["status"] == "unknown"
    [letter] = await world.letters()
    assert letter.command.message_id == message_id
    assert letter.headers["x-mailrun-reason"] == ("mailing_cancelled" if how == "cancelled" else "mailing_ended")


async def test_a_deleted_mailing_is_removed_when_nothing_is_open(world: Planting, hands: Hands) -> None:
    other_id = await world.mailing()
    kept_id = await world.message(other_id)
    mailing_id = await world.mailing()
    await world.messages(mailing_id, await world.clients(2 * CHUNK + 3))
    sending_id = await world.claimed(mailing_id, age_s=1)
    assert await world.store.mailings.delete(mailing_id, now())

    await hands.serve_until_rest()
    assert await world.statuses(mailing_id) == {"cancelled": 2 * CHUNK + 3, "sending": 1}

    await world.set_message(sending_id, status="sent")
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {}
    assert await world.mailing_document(mailing_id) is None
    assert (await world.found(kept_id))["status"] == "queued"


async def test_a_mailing_that_never_ran_is_cancelled_and_removed_as_well(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=CANCELLED, fan_out=None)
    deleted_id = await world.mailing(fan_out=None)
    await world.store.mailings.delete(deleted_id, now())

    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert mailing["look_at"] is None
    assert mailing["statistics"]["audience_size"] == 0
    assert await world.mailing_document(deleted_id) is None
