"""Fan-out: everybody once, whatever dies between two steps; and windows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scheduler.fan_out import fan_out
from shared.domain.audience import Audience
from shared.domain.window import LocalWindow
from tests.integration.scheduler.conftest import PART
from tests.integration.scheduler.scheduling import CHUNK, LEASE_S, Hands, MovableClock
from tests.integration.sender.planting import Planting, now

CLIENTS = 45  # two chunks and a bit


class Died(Exception):
    """In the place of a death: nobody in the product expects it."""


async def unplanned(world: Planting, count: int = CLIENTS, **fields: Any) -> tuple[int, list[int]]:
    """A mailing that has just started, and its clients."""
    client_ids = await world.clients(count)
    fan_out = {"upper_id": max(client_ids), "cursor": 0, "done": False}
    return await world.mailing(**({"fan_out": fan_out} | fields)), client_ids


async def everybody_once(world: Planting, hands: Hands, mailing_id: int, client_ids: list[int]) -> None:
    """One message for each client, and one command at least for each message."""
    messages = await world.documents["messages"].find({"mailing_id": mailing_id}).to_list(None)
    assert sorted(one["client_id"] for one in messages) == sorted(client_ids)
    published = await hands.published()
    assert {one.message_id for one in published} == {one["_id"] for one in messages}
    assert {(one.mailing_id, one.attempt) for one in published} == {(mailing_id, 1)}
    mailing = await world.mailing_document(mailing_id)
    assert mailing["fan_out"]["done"]
    assert mailing["lease"] is None


async def test_chunk_by_chunk_everybody_gets_a_message_and_a_command(world: Planting, hands: Hands) -> None:
    mailing_id, client_ids = await unplanned(world)

    assert await hands.serve()
    assert await world.statuses(mailing_id) == {"queued": CHUNK}
    await hands.serve_until_rest()

    await everybody_once(world, hands, mailing_id, client_ids)


async def test_only_the_audience_as_it_was_at_the_start(world: Planting, hands: Hands) -> None:
    wanted = await world.clients(2, operator_code="916", tags=["vip"])
    await world.client(operator_code="916", tags=["other"])
    await world.client(operator_code="999", tags=["vip"])
    await world.client(operator_code="916", tags=["vip"], opted_out_at=now())
    mailing_id, _ = await unplanned(world, 1, audience=Audience(("916",), ("vip",)))
    await world.client(operator_code="916", tags=["vip"])  # too late

    await hands.serve_until_rest()

    await everybody_once(world, hands, mailing_id, wanted)


async def test_a_chunk_that_found_nobody_is_followed_by_others(
    world: Planting, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.store.clients.READ_AT_ONCE", 5)
    monkeypatch.setattr("shared.store.clients.READ_FOR_S", 0.0)
    await world.clients(30, opted_out_at=now())
    mailing_id, client_ids = await unplanned(world, 3, audience=Audience(everyone=True))
    await hands.serve_until_rest()
    await everybody_once(world, hands, mailing_id, client_ids)


async def test_what_a_client_was_stays_in_the_message(world: Planting, hands: Hands) -> None:
    [client_id] = await world.clients(1, tags=["vip"], attributes={"name": "Ann", "city": "Kazan"}, operator_code="916")
    mailing_id = await world.mailing(text="Hello {name}", fan_out={"upper_id": client_id, "cursor": 0, "done": False})
    await hands.serve()

    [message] = await world.documents["messages"].find({"mailing_id": mailing_id}).to_list(None)
    assert (message["tags"], message["operator_code"], message["fields"]) == (["vip"], "916", {"name": "Ann"})
    assert (message["attempt"], message["last_attempt"]) == (0, 6)
    assert message["due_at"] > now() + timedelta(seconds=50)


async def test_dying_after_the_insert_leaves_messages_that_get_their_commands_later(
    world: Planting, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailing_id, client_ids = await unplanned(world)

    async def die(*_: object, **__: object) -> None:
        raise Died

    with monkeypatch.context() as dying:
        dying.setattr(world.publisher, "publish_all", die)
        with pytest.raises(Died):
            await fan_out(await hands.lease(), hands.tools, limit=CHUNK)
    assert await world.statuses(mailing_id) == {"queued": 2 * PART}, "one was planned while the first was published"
    assert await hands.published() == []

    await hands.serve_until_rest()

    await everybody_once(world, hands, mailing_id, client_ids)


async def test_dying_after_half_of_the_insert_plans_the_other_half_later(world: Planting, hands: Hands) -> None:
    mailing_id, client_ids = await unplanned(world)
    await world.messages(mailing_id, client_ids[5:10])

    await hands.serve_until_rest()

    await everybody_once(world, hands, mailing_id, client_ids)


async def test_dying_before_the_cursor_is_moved_publishes_commands_twice_and_plans_nobody_twice(
    world: Planting, hands: Hands
) -> None:
    mailing_id, client_ids = await unplanned(world)
    await fan_out(await hands.lease(), hands.tools, limit=CHUNK)  # and dies

    await hands.serve_until_rest()

    assert await world.ready() == CLIENTS + CHUNK
    await everybody_once(world, hands, mailing_id, client_ids)


async def test_a_chunk_that_is_done_again_publishes_nothing_for_what_was_claimed_meanwhile(
    world: Planting, hands: Hands
) -> None:
    mailing_id, _ = await unplanned(world)
    await fan_out(await hands.lease(), hands.tools, limit=CHUNK)  # and dies
    first = await hands.published()
    await world.set_message(first[0].message_id, status="sending", attempt=1)
    await world.set_message(first[1].message_id, status="sent", attempt=1)
    await world.set_message(first[2].message_id, status="queued", attempt=1)  # replayed: numbered on

    await hands.serve_until_rest()

    again = {one.message_id for one in await hands.published()}
    assert again.isdisjoint(one.message_id for one in first[:3])
    assert again >= {one.message_id for one in first[3:]}
    assert sum((await world.statuses(mailing_id)).values()) == CLIENTS


async def test_a_scheduler_that_lost_its_lease_moves_no_cursor(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id, client_ids = await unplanned(world)
    stalled = await hands.lease()
    chunk = await fan_out(stalled, hands.tools, limit=CHUNK)
    clock.pass_s(LEASE_S + 1)
    other = Hands.of(world, clock, owner="another")
    await other.serve_until_rest()

    kept = await hands.tools.store.mailing_work.release(stalled, look_at=chunk.look_at, **chunk.changes)

    assert not kept
    assert (await world.mailing_document(mailing_id))["fan_out"]["cursor"] == max(client_ids)
    await everybody_once(world, hands, mailing_id, client_ids)


async def test_an_id_that_is_taken_is_an_error_and_not_a_client_who_was_planned_already(
    world: Planting, hands: Hands
) -> None:
    """The sequence was set back, by a restored backup say: going on would leave a client without a message."""
    mailing_id, _ = await unplanned(world, 1)
    taken_id = (await world.store.sequences.reserve("messages", 1)) + 1
    await world.documents["messages"].insert_one({"_id": taken_id, "mailing_id": 0, "client_id": 0})

    await hands.serve()

    mailing = await world.mailing_document(mailing_id)
    assert not mailing["fan_out"]["done"]
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()
    assert await world.statuses(mailing_id) == {"queued": 1}  # with the next id


async def test_a_lease_is_for_one_until_it_runs_out(world: Planting, hands: Hands, clock: MovableClock) -> None:
    await unplanned(world)
    await hands.lease()
    other = Hands.of(world, clock, owner="another")

    assert not await other.serve()
    clock.pass_s(LEASE_S + 1)
    assert await other.serve()


async def test_a_lease_that_could_not_be_given_back_is_taken_by_its_owner_at_once(
    world: Planting, hands: Hands
) -> None:
    """The store was away when the chunk was done: the mailing does not wait for the lease to run out."""
    mailing_id, _ = await unplanned(world)
    await fan_out(await hands.lease(), hands.tools, limit=CHUNK)

    await hands.serve_until_rest()

    assert (await world.mailing_document(mailing_id))["fan_out"]["done"]


async def test_whoever_was_served_longest_ago_is_served_next(world: Planting, hands: Hands) -> None:
    large, _ = await unplanned(world, 5 * CHUNK)
    small, _ = await unplanned(world, CHUNK)
    await world.set_mailing(small, fan_out__cursor=(await world.mailing_document(large))["fan_out"]["upper_id"])

    for _ in range(3):
        await hands.serve()

    assert (await world.statuses(small)) == {"queued": CHUNK}
    assert (await world.mailing_document(small))["fan_out"]["done"]


# --- windows ---------------------------------------------------------------------------------------------------------


def window_from(hours: float, length_hours: float = 1.0) -> LocalWindow:
    """A window that opens so many hours from now, on the clock of UTC."""
    opens = datetime.now(UTC) + timedelta(hours=hours)
    return LocalWindow(
        *(at.time().replace(second=0, microsecond=0) for at in (opens, opens + timedelta(hours=length_hours)))
    )


async def test_a_closed_window_waits_and_is_released_when_it_opens(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id, client_ids = await unplanned(world, 5, local_window=window_from(2))
    await world.documents["clients"].update_many({}, {"$set": {"timezone": "UTC"}})
    await hands.serve_until_rest()
    assert await world.statuses(mailing_id) == {"waiting": 5}
    assert await hands.published() == []

    clock.pass_s(2 * 3_600)
    await world.set_mailing(mailing_id, look_at=now())
    await hands.serve_until_rest()

    assert await world.statuses(mailing_id) == {"queued": 5}
    await everybody_once(world, hands, mailing_id, client_ids)
    [due_at, *_] = [one["due_at"] async for one in world.documents["messages"].find({})]
    assert due_at > clock.now() + timedelta(seconds=50)


async def test_the_mailing_is_looked_at_when_the_first_window_opens(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id, _ = await unplanned(world, 5, local_window=window_from(0.01))  # within the minute
    await world.documents["clients"].update_many({}, {"$set": {"timezone": "UTC"}})
    await hands.serve_until_rest()

    opens_at = min([one["due_at"] async for one in world.documents["messages"].find({})])
    assert (await world.mailing_document(mailing_id))["look_at"] <= max(opens_at, now() + timedelta(seconds=1))


async def test_an_edited_window_is_what_waiting_messages_are_judged_by(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id, client_ids = await unplanned(world, 5, local_window=window_from(5))
    await world.documents["clients"].update_many({}, {"$set": {"timezone": "UTC"}})
    await hands.serve_until_rest()
    seen = await world.store.mailings.get(mailing_id)

    assert await world.store.mailings.change(seen, clock.now(), edits={"local_window": window_from(-0.5)})
    await hands.serve_until_rest()

    await everybody_once(world, hands, mailing_id, client_ids)
    assert not (await world.mailing_document(mailing_id))["window_changed"]


async def test_a_window_that_is_edited_while_an_edit_is_taken_in_is_taken_in_as_well(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    mailing_id = await world.mailing(window_changed=True, revision=2)
    leased = await hands.lease()
    seen = await world.store.mailings.get(mailing_id)
    await world.store.mailings.change(seen, clock.now(), edits={"local_window": window_from(1)})

    await world.store.mailing_work.finish_window_change(leased, look_at=clock.now())

    mailing = await world.mailing_document(mailing_id)
    assert mailing["window_changed"]
    assert mailing["lease"] is None


async def test_what_waits_is_released_while_the_fan_out_goes_on(
    world: Planting, hands: Hands, clock: MovableClock
) -> None:
    """A fan-out of millions takes hours: a window that opens meanwhile would close again."""
    mailing_id, _ = await unplanned(world, 3 * CHUNK)
    waiting_id = await world.message(mailing_id, status="waiting", due_at=now() - timedelta(seconds=1))

    await hands.serve()

    assert (await world.found(waiting_id))["status"] == "queued"
    assert not (await world.mailing_document(mailing_id))["fan_out"]["done"]


async def test_a_zone_that_cannot_be_read_does_not_stop_the_fan_out(world: Planting, hands: Hands) -> None:
    mailing_id, _ = await unplanned(world, 5, local_window=window_from(-2, 4))
    await world.documents["clients"].update_one({}, {"$set": {"timezone": "Mars/Olympus_Mons"}})

    await hands.serve_until_rest()

    assert sum((await world.statuses(mailing_id)).values()) == 5
