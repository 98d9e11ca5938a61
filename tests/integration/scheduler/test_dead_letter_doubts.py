"""Doubts: whatever may have made the dead letters untrue is noted, and a walk follows even if the counts agree."""

from datetime import timedelta
from typing import Any

import pytest

from services.scheduler.dead_letters import LOOK_EVERY_S, REST_PER_WALK
from services.scheduler.tools import LEASE_S
from services.scheduler.walk import Walk
from shared.broker.queues import QueueReader
from shared.domain.mailing import CANCELLED, COMPLETED
from shared.errors import BrokerUnavailable
from shared.store.mailing_documents import Replay
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.scheduler.watching import DEAD, DIFFER_S, Watching, ids, letter_of
from tests.integration.sender.planting import Planting, now


@pytest.fixture
def watching(world: Planting, hands: Hands, clock: MovableClock) -> Watching:
    return Watching(world, hands, clock)


async def doubts_left(world: Planting) -> int:
    """Doubts that no walk has taken back."""
    state = await world.documents["state"].find_one({"_id": "dead_letters"}) or {}
    return int(state.get("doubts", 0) - state.get("doubts_cleared", 0))


async def one_double_one_missing(world: Planting) -> list[int]:
    """Two dead messages, and two entries of the first: the counts agree."""
    message_ids = await world.messages(await world.mailing(), await world.clients(2), **DEAD)
    for message_id in (message_ids[0], message_ids[0]):
        await letter_of(world, message_id)
    return message_ids


async def test_a_doubt_brings_a_walk_although_the_counts_agree(
    world: Planting, watching: Watching, clock: MovableClock
) -> None:
    message_ids = await one_double_one_missing(world)

    # Given no doubt, then the one hides the other
    await watching.look_for_long()
    assert await world.ready("messages.dead") == 2
    assert "doubts" not in await world.documents["state"].find_one({})

    # Given a doubt, then it is walked, and not before it has settled
    await world.store.dead_letter_state.doubt(clock.now(), why="test")
    await watching.look()
    clock.pass_s(DIFFER_S - LOOK_EVERY_S - 2)
    await watching.look()
    assert await doubts_left(world) == 1
    clock.pass_s(2)
    await watching.look()

    assert ids(await world.letters()) == message_ids
    assert await doubts_left(world) == 0


async def test_a_doubt_that_comes_during_a_walk_is_left_to_the_next(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_double_one_missing(world)
    await world.store.dead_letter_state.doubt(clock.now(), why="test")
    keep = Walk._keep

    async def keep_and_doubt(one: Walk, batch: Any) -> Any:
        kept = await keep(one, batch)
        await world.store.dead_letter_state.doubt(clock.now(), why="something happened behind the walk")
        return kept

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(Walk, "_keep", keep_and_doubt)
        await watching.look_for_long()
    assert await doubts_left(world) == 1

    await watching.look_for_long()

    assert await doubts_left(world) == 0


async def test_a_doubt_that_is_young_when_a_walk_begins_is_left_to_the_next(
    world: Planting, watching: Watching, clock: MovableClock
) -> None:
    """What was doubted may not have happened yet: the doubt is noted before."""
    await one_double_one_missing(world)
    await world.store.dead_letter_state.doubt(clock.now(), why="old")
    await watching.look()
    clock.pass_s(DIFFER_S)
    await world.store.dead_letter_state.doubt(clock.now(), why="young")
    await watching.look()
    assert await world.ready("messages.dead") == 2
    assert await doubts_left(world) > 0

    await watching.look_for_long()

    assert await doubts_left(world) == 0


async def test_a_walk_that_did_not_end_leaves_its_doubt(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies at its very last step, when the counts agree again."""
    message_ids = await world.messages(await world.mailing(), await world.clients(3), **DEAD)

    async def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    await watching.look()
    clock.pass_s(DIFFER_S)
    with monkeypatch.context() as dying:
        dying.setattr(world.store.dead_letter_state, "release", die)
        with pytest.raises(KeyboardInterrupt):
            await watching.look()
    assert await world.ready("messages.dead") == len(message_ids)
    assert await doubts_left(world) == 1

    clock.pass_s(LEASE_S)
    await watching.look_for_long()

    assert await doubts_left(world) == 0
    assert ids(await world.letters()) == message_ids


async def test_a_replay_leaves_a_doubt_and_then_no_stale_entry(
    world: Planting, hands: Hands, watching: Watching, clock: MovableClock
) -> None:
    # Given three dead messages, and entries of all but the last
    mailing_id = await world.mailing(status=COMPLETED)
    message_ids = await world.messages(mailing_id, await world.clients(3), **DEAD)
    for message_id in message_ids[:2]:
        await letter_of(world, message_id)

    # When the first is replayed, so that there are as many entries as dead messages
    seen = await world.store.mailings.get(mailing_id)
    await world.store.mailings.ask_replay(seen, Replay(now(), (), None, (message_ids[0],)), now())
    await hands.serve_until_rest()
    assert await doubts_left(world) > 0
    await watching.look_for_long()

    # Then those of the others are there, and none else
    assert ids(await world.letters()) == message_ids[1:]
    assert await doubts_left(world) == 0


async def test_a_cancel_that_leaves_messages_unknown_leaves_a_doubt(
    world: Planting, hands: Hands, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scheduler dies before it has published their entries, while a double of another lies in the queue."""
    mailing_id = await world.mailing(status=CANCELLED)
    unknown_id = await world.message(mailing_id, ambiguous=True, attempt=1, updated_at=now() - timedelta(hours=1))
    dead_id = await world.message(mailing_id, **DEAD)
    for _ in range(2):
        await letter_of(world, dead_id)

    async def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(hands.tools.publisher, "publish_all", die)
        with pytest.raises(KeyboardInterrupt):
            await hands.serve()
    assert (await world.found(unknown_id))["status"] == "unknown"
    assert await doubts_left(world) == 1

    await watching.look_for_long()

    assert ids(await world.letters()) == sorted([dead_id, unknown_id])


async def test_a_cancel_that_leaves_none_unknown_leaves_no_doubt(world: Planting, hands: Hands) -> None:
    mailing_id = await world.mailing(status=CANCELLED)
    await world.messages(mailing_id, await world.clients(3))
    await hands.serve_until_rest()
    assert await doubts_left(world) == 0


async def test_the_removal_of_a_mailing_with_dead_letters_leaves_a_doubt(
    world: Planting, hands: Hands, watching: Watching
) -> None:
    # Given a mailing with as many entries as another lacks
    removed_id, kept_id = await world.mailing(), await world.mailing()
    for message_id in await world.messages(removed_id, await world.clients(2), **DEAD):
        await letter_of(world, message_id)
    missing_ids = await world.messages(kept_id, await world.clients(2), **DEAD)

    # When it is deleted
    await world.store.mailings.delete(removed_id, now())
    await hands.serve_until_rest()
    assert await world.documents["messages"].count_documents({"mailing_id": removed_id}) == 0
    assert await doubts_left(world) > 0
    await watching.look_for_long()

    # Then the entries are the other's
    assert ids(await world.letters()) == missing_ids


async def test_cancelling_what_is_unsent_to_a_client_leaves_a_doubt_if_any_of_it_ends_unknown(
    world: Planting, watching: Watching, clock: MovableClock
) -> None:
    mailing_id = await world.mailing()
    plain_id, doubtful_id = await world.clients(2)
    await world.message(mailing_id, client_id=plain_id)
    message_id = await world.message(mailing_id, client_id=doubtful_id, ambiguous=True)
    state, statuses = world.store.dead_letter_state, world.store.message_statuses

    assert not await state.doubt_client(plain_id, clock.now())
    assert await doubts_left(world) == 0
    assert await state.doubt_client(doubtful_id, clock.now())
    await statuses.cancel_of_client(doubtful_id, reason="client_deleted", now=now() - timedelta(minutes=1))
    assert await doubts_left(world) == 1
    await watching.look_for_long()

    [letter] = await world.letters()
    assert (letter.command.message_id, letter.headers["x-mailrun-reason"]) == (message_id, "client_deleted")


async def test_the_rest_after_a_walk_is_as_long_as_it_took_several_times(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_double_one_missing(world)
    clock.stop()
    began: list[float] = []
    run, took_s = Walk.run, 100.0

    async def slow_run(one: Walk) -> Any:
        began.append(clock.monotonic_s())
        clock.pass_s(took_s)
        return await run(one)

    monkeypatch.setattr(Walk, "run", slow_run)
    while len(began) < 2:  # in doubt all the time
        await world.store.dead_letter_state.doubt(clock.now(), why="test")
        await watching.look()

    rested_s = began[1] - began[0] - took_s
    assert REST_PER_WALK * took_s <= rested_s <= REST_PER_WALK * took_s + 2 * LOOK_EVERY_S


async def test_a_walk_that_loses_the_broker_is_begun_anew_after_a_rest_and_not_after_a_lease(
    world: Planting, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_ids = await world.messages(await world.mailing(), await world.clients(3), **DEAD)

    async def lose(*_: Any) -> None:
        raise BrokerUnavailable("lost in the middle")

    with monkeypatch.context() as losing:
        losing.setattr(Walk, "_add_missing", lose)
        await watching.look_for_long()
    assert await world.ready("messages.dead") == 0

    clock.stop()
    clock.pass_s(LEASE_S / 4)
    await watching.look()

    assert ids(await world.letters()) == message_ids
    assert await doubts_left(world) == 0


async def test_a_queue_that_was_deleted_by_hand_is_filled_again(
    world: Planting, watching: Watching, clock: MovableClock
) -> None:
    message_ids = await world.messages(await world.mailing(), await world.clients(3), **DEAD)
    for message_id in message_ids:
        await letter_of(world, message_id)
    channel = await world.gateway.channel()
    await channel.queue_delete("messages.dead")
    await channel.close()

    with pytest.raises(BrokerUnavailable):
        await watching.look()
    await watching.look_for_long()

    assert ids(await world.letters()) == message_ids


async def test_walks_of_two_schedulers_do_not_get_into_each_others_way(
    world: Planting, hands: Hands, watching: Watching, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stalls in the middle until its lease has run out, and another walks meanwhile."""
    message_ids = await world.messages(await world.mailing(), await world.clients(5), **DEAD)
    for message_id in (*message_ids, message_ids[0]):
        await letter_of(world, message_id)
    other = Watching(world, hands, clock, QueueReader(world.gateway))
    take = Walk._take

    async def stall(one: Walk, count: int) -> Any:
        monkeypatch.setattr(Walk, "_take", take)
        batch = await take(one, min(count, 2))
        clock.pass_s(LEASE_S)
        await other.look_for_long()  # cannot see what the first one holds, and so takes nothing for missing
        return batch

    monkeypatch.setattr(Walk, "_take", stall)
    await watching.look_for_long()
    for _ in range(3):
        clock.pass_s(LEASE_S)
        await watching.look_for_long()

    assert ids(await world.letters()) == message_ids
    assert await doubts_left(world) == 0
