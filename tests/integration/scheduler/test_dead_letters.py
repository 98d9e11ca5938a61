"""Dead letters kept true: an entry for each failed or unknown message, the parked bodies, and nothing else."""

import pytest

from services.scheduler import walk
from services.scheduler.dead_letters import LOOK_EVERY_S
from services.scheduler.tools import LEASE_S
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.scheduler.watching import BATCH, DEAD, DIFFER_S, Watching, ids, letter_of
from tests.integration.sender.planting import Planting, now


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "BATCH", BATCH)


@pytest.fixture
def watching(world: Planting, hands: Hands, clock: MovableClock) -> Watching:
    return Watching(world, hands, clock)


async def test_what_is_true_is_left_alone(world: Planting, watching: Watching) -> None:
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(3), **DEAD)
    for message_id in message_ids:
        await letter_of(world, message_id)

    await watching.look_for_long()

    state = await world.documents["state"].find_one({})
    assert (state["differs_since"], state.get("parked")) == (None, None)
    assert ids(await world.letters()) == message_ids


async def test_a_difference_is_given_time_to_pass(world: Planting, watching: Watching, clock: MovableClock) -> None:
    message_id = await world.message(await world.mailing(), **DEAD)

    await watching.look()
    clock.pass_s(DIFFER_S / 2)
    await watching.look()
    assert await world.ready("messages.dead") == 0

    await letter_of(world, message_id)  # its sender was slow
    await watching.look_for_long()

    assert ids(await world.letters()) == [message_id]


async def test_missing_entries_are_added_with_their_reason(world: Planting, watching: Watching) -> None:
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(BATCH + 5), **DEAD)
    unknown_id = await world.message(mailing_id, **(DEAD | {"status": "unknown", "reason": None}))

    await watching.look_for_long()

    letters = await world.letters()
    assert ids(letters) == sorted([*message_ids, unknown_id])
    reasons = {letter.command.message_id: letter.headers["x-mailrun-reason"] for letter in letters}
    assert reasons[message_ids[0]] == "http_400"
    assert reasons[unknown_id] == "unknown"
    assert {letter.command.attempt for letter in letters} == {3}


async def test_stale_and_double_entries_are_dropped_and_one_of_each_is_kept(
    world: Planting, watching: Watching
) -> None:
    mailing_id = await world.mailing()
    dead_id = await world.message(mailing_id, **DEAD)
    replayed_id = await world.message(mailing_id)
    sent_id = await world.message(mailing_id, status="sent", due_at=None)
    for message_id in (dead_id, replayed_id, sent_id, dead_id, 2**62, dead_id):
        await letter_of(world, message_id)

    await watching.look_for_long()

    [letter] = await world.letters()
    assert (letter.command.message_id, letter.command.attempt) == (dead_id, 3)
    assert letter.headers["x-mailrun-reason"] == "http_400"


async def test_an_entry_of_an_earlier_death_tells_of_the_last(world: Planting, watching: Watching) -> None:
    """A message that failed, was replayed and failed anew, for another reason."""
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, **(DEAD | {"attempt": 9, "reason": "http_422"}))
    for attempt, reason in ((3, "http_400"), (9, "http_422")):
        await letter_of(world, message_id, attempt=attempt, **{"x-mailrun-reason": reason})

    await watching.look_for_long()

    [letter] = await world.letters()
    assert (letter.command.message_id, letter.command.attempt) == (message_id, 9)
    assert letter.headers["x-mailrun-reason"] == "http_422"
    assert letter.headers["x-mailrun-mailing-id"] == mailing_id


async def test_parked_bodies_stay_and_are_counted(world: Planting, watching: Watching) -> None:
    for body in (b"\xff noise", b"{}", b""):
        await world.letter(body, {"x-mailrun-reason": "why", "x-mailrun-parked": True})
    await world.letter(b"given up by the broker", {"x-first-death-queue": "messages.send", "trace": "abc"})

    await watching.look_for_long()

    assert (await world.documents["state"].find_one({}))["parked"] == 4
    letters = {letter.body: letter.headers for letter in await world.letters()}
    for headers in letters.values():
        headers.pop("x-mailrun-walk")
        headers.pop("x-delivery-count", None)  # written into it by the broker at this delivery
    assert set(letters) == {b"\xff noise", b"{}", b"", b"given up by the broker"}
    assert letters[b"{}"] == {"x-mailrun-reason": "why", "x-mailrun-parked": True}
    assert letters[b"given up by the broker"] == {"trace": "abc"}  # without what the broker wrote into it


async def test_after_a_walk_queue_and_store_agree(world: Planting, watching: Watching, clock: MovableClock) -> None:
    mailing_id = await world.mailing()
    await world.messages(mailing_id, await world.clients(3), **DEAD)
    await world.letter(b"noise", {"x-mailrun-parked": True})
    await watching.look_for_long()
    walked = await world.documents["state"].find_one({})

    await watching.look()

    state = await world.documents["state"].find_one({})
    assert state["differs_since"] is None
    assert state["parked"] == walked["parked"] == 1
    assert await world.ready("messages.dead") == 4


async def test_frozen_mailings_count_as_much_as_open_ones(world: Planting, hands: Hands, watching: Watching) -> None:
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(2), **DEAD)
    await hands.serve_until_rest()
    assert (await world.mailing_document(mailing_id))["status"] == "completed"

    await watching.look_for_long()

    assert ids(await world.letters()) == message_ids


async def test_the_entries_of_a_mailing_that_was_removed_are_removed(
    world: Planting, hands: Hands, watching: Watching
) -> None:
    mailing_id = await world.mailing()
    for message_id in await world.messages(mailing_id, await world.clients(3), **DEAD):
        await letter_of(world, message_id)
    await world.store.mailings.delete(mailing_id, now())
    await hands.serve_until_rest()

    await watching.look_for_long()

    assert await world.letters() == []


async def test_what_died_just_now_is_its_senders_business(
    world: Planting, watching: Watching, clock: MovableClock
) -> None:
    mailing_id = await world.mailing()
    old_id = await world.message(mailing_id, **DEAD)
    await watching.look()
    clock.pass_s(DIFFER_S)
    await world.message(mailing_id, **(DEAD | {"updated_at": clock.now()}))
    await watching.look()

    assert ids(await world.letters()) == [old_id]


async def test_one_scheduler_looks_at_a_time_and_not_all_the_time(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    state = world.store.dead_letter_state
    at = clock.now()

    first = await state.lease(at, every_s=LOOK_EVERY_S, lease_s=LEASE_S)
    assert first is not None
    assert await state.lease(at, every_s=LOOK_EVERY_S, lease_s=LEASE_S) is None
    await state.release(first.token, now=at, differs_since=None)
    assert await state.lease(at, every_s=LOOK_EVERY_S, lease_s=LEASE_S) is None
    clock.pass_s(LOOK_EVERY_S + 0.1)
    assert await state.lease(clock.now(), every_s=LOOK_EVERY_S, lease_s=LEASE_S) is not None
