"""Replay: what failed goes out again, once, and its attempts are numbered on."""

from datetime import timedelta
from typing import Any

from services.scheduler.replay import replay
from shared.domain.mailing import COMPLETED, PAUSED
from shared.domain.message import FAILED, UNKNOWN
from shared.store.mailing_documents import Replay
from tests.integration.scheduler.scheduling import CHUNK, Hands
from tests.integration.sender.planting import Planting, now

DEAD = {"status": "failed", "attempt": 6, "due_at": None, "reason": "http_400"}


async def ask(world: Planting, mailing_id: int, **fields: Any) -> None:
    values = {"asked_at": now(), "statuses": (), "reason": None, "message_ids": ()} | fields
    seen = await world.store.mailings.get(mailing_id)
    assert await world.store.mailings.ask_replay(seen, Replay(**values), now())


async def test_failed_and_unknown_are_queued_with_attempts_numbered_on(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=COMPLETED)
    failed_id = await world.message(mailing_id, **DEAD)
    unknown_id = await world.message(mailing_id, **(DEAD | {"status": "unknown", "attempt": 2, "ambiguous": True}))
    for status in ("sent", "expired", "cancelled"):
        await world.message(mailing_id, status=status, due_at=None)

    await ask(world, mailing_id)
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"queued": 2, "sent": 1, "expired": 1, "cancelled": 1}
    failed, unknown = await world.found(failed_id), await world.found(unknown_id)
    assert (failed["attempt"], failed["last_attempt"], failed["reason"]) == (6, 12, None)
    assert (unknown["attempt"], unknown["last_attempt"], unknown["ambiguous"]) == (2, 8, True)
    assert {(one.message_id, one.attempt) for one in await hands.published()} == {(failed_id, 7), (unknown_id, 3)}
    mailing = await world.mailing_document(mailing_id)
    assert (mailing["status"], mailing["replays"], mailing["statistics"]) == ("running", [], None)


async def test_only_what_was_asked_for(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    by_reason = await world.message(mailing_id, **DEAD)
    other_reason = await world.message(mailing_id, **(DEAD | {"reason": "http_422"}))
    unknown = await world.message(mailing_id, **(DEAD | {"status": "unknown"}))

    await ask(world, mailing_id, statuses=(FAILED,), reason="http_400")
    await hands.serve_until_rest()
    assert {one.message_id for one in await hands.published()} == {by_reason}

    await ask(world, mailing_id, message_ids=(other_reason, unknown), statuses=(UNKNOWN,))
    await hands.serve_until_rest()
    assert {one.message_id for one in await hands.published()} == {unknown}


async def test_it_is_done_chunk_by_chunk_and_what_fails_anew_is_not_replayed_again(
    world: Planting, hands: Hands
) -> None:
    mailing_id = await world.mailing()
    await world.messages(mailing_id, await world.clients(2 * CHUNK + 3), **DEAD)
    await ask(world, mailing_id)

    await hands.serve()
    first = await hands.published()
    assert len(first) == CHUNK
    await world.documents["messages"].update_many(  # they fail at once
        {"_id": {"$in": [one.message_id for one in first]}},
        {"$set": DEAD | {"updated_at": now() + timedelta(milliseconds=1)}},
    )
    await hands.serve_until_rest()

    again = await hands.published()
    assert len(again) == CHUNK + 3
    assert {one.message_id for one in again}.isdisjoint(one.message_id for one in first)
    assert (await world.mailing_document(mailing_id))["replays"] == []


async def test_dying_between_the_update_and_the_commands_leaves_them_to_mending(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, **DEAD)
    await ask(world, mailing_id)
    await replay(await hands.lease(), hands.tools, limit=CHUNK)  # and dies
    await hands.published()  # as if they had not been

    await hands.serve_until_rest()

    found = await world.found(message_id)
    assert found["status"] == "queued"
    assert found["due_at"] > now() + timedelta(seconds=50)  # then it is mended
    assert (await world.mailing_document(mailing_id))["replays"] == []


async def test_a_paused_mailing_replays_when_it_runs_again(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=PAUSED)
    await world.message(mailing_id, **DEAD)
    await ask(world, mailing_id)
    await hands.serve_until_rest()
    assert await world.statuses(mailing_id) == {"failed": 1}

    await world.set_mailing(mailing_id, status="running", look_at=now())
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"queued": 1}


async def test_a_closed_mailing_replays_nothing_and_forgets_the_request(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    await world.message(mailing_id, **DEAD)
    await ask(world, mailing_id)
    await world.set_mailing(mailing_id, end_at=now(), closed_at=now())

    await hands.serve_until_rest()

    mailing = await world.mailing_document(mailing_id)
    assert await world.statuses(mailing_id) == {"failed": 1}
    assert (mailing["replays"], mailing["status"]) == ([], "completed")


async def test_requests_are_done_in_their_order_and_each_is_taken_off_by_itself(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing()
    await world.message(mailing_id, **DEAD)
    await ask(world, mailing_id, reason="nothing has it")
    await ask(world, mailing_id, asked_at=now() + timedelta(milliseconds=5))

    await hands.serve()
    assert len((await world.mailing_document(mailing_id))["replays"]) == 1
    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["replays"] == []
    assert len(await hands.published()) == 1
