"""Leases: one scheduler does one chunk of one mailing; whoever lost its lease writes nothing."""

import asyncio
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.mailing import CANCELLED, PAUSED, Mailing
from shared.store.mailing_documents import Replay
from shared.store.store import Store
from tests.integration.store.leasing import lease, leased
from tests.integration.store.making import after, running


async def test_one_of_many_wins_a_mailing(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given three mailings, and eight schedulers that look at once
    past.mailings.insert_many(running(number) for number in (1, 2, 3))
    found = await asyncio.gather(*(lease(store, owner=f"scheduler {number}") for number in range(8)))

    # Then three of them have one each
    won = [one for one in found if one is not None]
    assert sorted(one.mailing.id for one in won) == [1, 2, 3]
    assert len({one.token for one in won}) == 3
    assert {one["lease"]["token"] for one in past.mailings.find()} == {one.token for one in won}


async def test_the_longest_waiting_is_served_first(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given mailings that were served lately, long ago, and never
    for number, served_at in ((1, after(0.5)), (2, after(0.1)), (3, None), (4, None)):
        past.mailings.insert_one(running(number, served_at=served_at))

    # When they are served in turn, and whoever has just been wants to be looked at before all the others
    order = []
    for turn in range(8):
        one = await leased(store, at=1 + turn)
        order.append(one.mailing.id)
        assert await store.mailing_work.release(one, look_at=after(-1 - turn))

    # Then everybody has a turn before anybody has a second
    assert order == [3, 4, 2, 1] * 2


@pytest.mark.parametrize(
    ("fields", "served"),
    [
        ({}, True),
        ({"look_at": after(2)}, False),
        ({"look_at": None}, False),
        ({"lease": {"owner": "two", "token": "t", "until": after(1.001)}}, False),
        ({"lease": {"owner": "two", "token": "t", "until": after(1)}}, True),
        ({"lease": {"owner": "one", "token": "t", "until": after(60)}}, True),  # it was given up for lost by its owner
        ({"fan_out": None, "status": "scheduled"}, False),
        ({"fan_out": None, "status": "paused"}, False),
        ({"fan_out": None, "status": "cancelled"}, True),
        ({"fan_out": None, "status": "cancelled", "deleted_at": after(0)}, True),
        ({"status": "completed", "look_at": None}, False),
    ],
)
async def test_what_is_served(
    store: Store, past: Database[dict[str, Any]], fields: dict[str, Any], served: bool
) -> None:
    past.mailings.insert_one(running(1) | fields)
    assert (await lease(store) is not None) == served


async def test_a_lease_tells_what_there_is_to_do(store: Store, past: Database[dict[str, Any]]) -> None:
    replay = {"asked_at": after(0), "statuses": ["failed"], "reason": "$why", "message_ids": [2**60]}
    past.mailings.insert_one(
        running(
            1,
            fan_out={"upper_id": 2**60, "cursor": 2**59, "done": False},
            replays=[replay],
            window_changed=True,
            paced_until=after(9),
            deleted_at=after(0),
            closed_at=after(0),
            revisions=[{"revision": 2, "at": after(0), "before": {"text": "x" * 100_000}}],
        )
    )
    one = await leased(store)
    assert one.fan_out is not None
    assert (one.fan_out.upper_id, one.fan_out.cursor, one.fan_out.done) == (2**60, 2**59, False)
    assert one.replays == (Replay(after(0), ("failed",), "$why", (2**60,)),)
    assert (one.window_changed, one.deleted, one.is_closed, one.paced_until) == (True, True, True, after(9))
    assert one.mailing.started
    assert not one.mailing.fan_out_done


async def test_a_lost_lease_writes_nothing(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a scheduler that stalled until another had its mailing
    past.mailings.insert_one(
        running(1, replays=[{"asked_at": after(0), "statuses": [], "reason": None, "message_ids": []}])
    )
    late = await leased(store)
    assert await lease(store, at=60, owner="two") is None
    await leased(store, at=61, owner="two")
    before = past.mailings.find_one({"_id": 1})

    # When it wakes up and writes, then nothing matches, and it is told so
    work = store.mailing_work
    assert not await work.release(late, look_at=None, fan_out__cursor=99, fan_out__done=True)
    assert not await work.finish_replay(late, late.replays[0], look_at=after(62))
    assert not await work.finish_window_change(late, look_at=after(62))
    assert not await work.complete(late, statistics={}, now=after(62))
    await work.remove(late)
    assert past.mailings.find_one({"_id": 1}) == before


async def test_a_chunk_is_written_with_its_lease(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(running(1, fan_out={"upper_id": 100, "cursor": 0, "done": False}))
    one = await leased(store)
    assert await store.mailing_work.release(
        one, look_at=after(5), fan_out__cursor=50, fan_out__done=False, paced_until=after(7)
    )
    document = past.mailings.find_one({"_id": 1})
    assert document is not None
    assert document["fan_out"] == {"upper_id": 100, "cursor": 50, "done": False}
    assert (document["lease"], document["look_at"], document["paced_until"]) == (None, after(5), after(7))
    # And a second write under it is none
    assert not await store.mailing_work.release(one, look_at=None, fan_out__cursor=0)


async def _pause(store: Store, seen: Mailing) -> None:
    assert await store.mailings.change(seen, after(2), status=PAUSED)


async def _cancel(store: Store, seen: Mailing) -> None:
    assert await store.mailings.change(seen, after(2), status=CANCELLED)


async def _edit(store: Store, seen: Mailing) -> None:
    assert await store.mailings.change(seen, after(2), edits={"text": "Bye"})


async def _ask_replay(store: Store, seen: Mailing) -> None:
    assert await store.mailings.ask_replay(seen, Replay(after(2), (), None, ()), after(2))


async def _delete(store: Store, seen: Mailing) -> None:
    assert await store.mailings.delete(seen.id, after(2))


async def _close(store: Store, _: Mailing) -> None:
    assert await store.mailing_work.close_due(after(4_000)) == 1


async def _look_soon(store: Store, seen: Mailing) -> None:
    await store.mailings.look_soon([seen.id], after(2))


@pytest.mark.parametrize("change", [_pause, _cancel, _edit, _ask_replay, _delete, _close, _look_soon])
async def test_what_came_in_meanwhile_is_looked_at(store: Store, past: Database[dict[str, Any]], change: Any) -> None:
    # Given a chunk in hand, and a change that came in while it was done
    past.mailings.insert_one(running(1))
    one = await leased(store)
    await change(store, one.mailing)
    wished = past.mailings.find_one({"_id": 1})
    assert wished is not None

    # When the chunk is written, with the wish never to look again
    assert await store.mailing_work.release(one, look_at=None, fan_out__cursor=77)

    # Then the chunk is there, and so are the change and its wish
    document = past.mailings.find_one({"_id": 1})
    assert document is not None
    assert document["fan_out"]["cursor"] == 77
    assert document["lease"] is None
    assert document["look_at"] == wished["look_at"] is not None
    assert document["status"] == wished["status"]
    assert await lease(store, at=4_001) is not None


async def test_a_window_that_is_changed_again_meanwhile_is_not_forgotten(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    for again in (False, True):
        past.mailings.delete_many({})
        past.mailings.insert_one(running(1, window_changed=True))
        one = await leased(store)
        if again:
            assert await store.mailings.change(one.mailing, after(2), edits={"local_window": None})
        assert await store.mailing_work.finish_window_change(one, look_at=after(3))
        following = await leased(store, at=4)
        assert following.window_changed is again


async def test_a_replay_that_is_done_leaves_the_others(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(running(1))
    for moment in (2, 3, 4):
        seen = await store.mailings.get(1)
        assert await store.mailings.ask_replay(seen, Replay(after(moment), (), None, (moment,)), after(moment))
    one = await leased(store, at=5)
    assert [replay.message_ids for replay in one.replays] == [(2,), (3,), (4,)]
    assert await store.mailing_work.finish_replay(one, one.replays[1], look_at=after(6))
    one = await leased(store, at=6)
    assert [replay.message_ids for replay in one.replays] == [(2,), (4,)]
