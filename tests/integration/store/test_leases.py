"""Leases: one scheduler does one chunk of one mailing; whoever lost its lease writes nothing."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, PAUSED, RUNNING, SCHEDULED, Mailing, MailingStatus
from shared.store.mailing_documents import Replay
from shared.store.mailing_work import LeasedMailing
from shared.store.store import Store
from tests.integration.store.making import after, mailing_document, make_mailing

PLANNED = {"upper_id": 10, "cursor": 10, "done": True}


def running(mailing_id: int, **fields: Any) -> dict[str, Any]:
    """A running mailing, planned to the end, that wants to be looked at."""
    mailing = make_mailing(id=mailing_id, status=RUNNING)
    return mailing_document(mailing, **({"fan_out": PLANNED, "look_at": after(0)} | fields))


async def lease(store: Store, *, at: float = 1, owner: str = "one") -> LeasedMailing | None:
    return await store.mailing_work.lease_next(after(at), owner=owner, lease_s=60)


async def leased(store: Store, **given: Any) -> LeasedMailing:
    one = await lease(store, **given)
    assert one is not None
    return one


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

    # When they are served in turn, each wanting more
    order = []
    for turn in range(8):
        one = await leased(store, at=1 + turn)
        order.append(one.mailing.id)
        assert await store.mailing_work.release(one, look_at=after(1))

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


@pytest.mark.parametrize(
    ("fields", "completed"),
    [
        ({}, True),
        ({"status": "paused", "closed_at": after(0)}, True),
        ({"status": "paused"}, False),
        ({"status": "cancelled"}, False),
        ({"status": "completed"}, False),
        ({"fan_out": PLANNED | {"done": False}}, False),
        ({"replays": [{"asked_at": after(0), "statuses": [], "reason": None, "message_ids": []}]}, False),
    ],
)
async def test_what_is_completed(
    store: Store, past: Database[dict[str, Any]], fields: dict[str, Any], completed: bool
) -> None:
    # Given a leased mailing that is so, or has become so while it was leased
    past.mailings.insert_one(running(1, pause_reason="operator"))
    one = await leased(store)
    past.mailings.update_one({"_id": 1}, {"$set": fields})

    # When it is completed, then only with nothing left to plan or to replay, and not against an operator
    statistics = {"counts": {"sent": 3}, "ambiguous": 0}
    assert await store.mailing_work.complete(one, statistics=statistics, now=after(2)) is completed
    document = past.mailings.find_one({"_id": 1})
    assert document is not None
    assert (document["status"] == "completed" and document["statistics"] == statistics) is completed
    assert (document["lease"] is None) is completed
    if completed:
        assert (document["look_at"], document["pause_reason"], document["updated_at"]) == (None, None, after(2))
        assert await lease(store, at=9_999) is None


async def test_a_mailing_is_started_by_one_and_once(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a mailing whose start has come
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=SCHEDULED, start_at=after(10))))
    assert await store.mailing_work.due_to_start(after(9.999)) == []
    assert await store.mailing_work.start(1, upper_id=5, now=after(9.999)) is None
    assert await store.mailing_work.due_to_start(after(10)) == [1]

    # When several start it
    starts = [store.mailing_work.start(1, upper_id=number, now=after(10)) for number in range(6)]
    started = [one for one in await asyncio.gather(*starts) if one is not None]

    # Then one has, and it is to be looked at now
    assert len(started) == 1
    assert (started[0].status, started[0].started) == (RUNNING, True)
    assert await store.mailing_work.due_to_start(after(10)) == []
    one = await leased(store, at=10)
    assert one.fan_out is not None
    assert (one.fan_out.cursor, one.fan_out.done) == (0, False)


async def test_one_that_is_no_more_due_is_not_started(store: Store, past: Database[dict[str, Any]]) -> None:
    for number, status in enumerate((DRAFT, PAUSED, CANCELLED, COMPLETED, RUNNING), start=1):
        past.mailings.insert_one(mailing_document(make_mailing(id=number, status=status, start_at=after(0))))
    past.mailings.insert_one(mailing_document(make_mailing(id=6, status=SCHEDULED, start_at=after(99))))
    assert await store.mailing_work.due_to_start(after(10)) == []
    for number in range(1, 8):
        assert await store.mailing_work.start(number, upper_id=5, now=after(10)) is None


async def test_one_that_ended_while_paused_before_its_start_is_planned_and_closed(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    """Everybody of its audience then has a status."""
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=PAUSED, end_at=after(100))))
    assert await store.mailing_work.due_to_start(after(99)) == []
    assert await store.mailing_work.due_to_start(after(100)) == [1]
    started = await store.mailing_work.start(1, upper_id=5, now=after(100))
    assert started is not None
    assert (started.status, started.started) == (PAUSED, True)
    assert await store.mailing_work.close_due(after(100)) == 1
    assert (await leased(store, at=100)).is_closed


async def test_what_has_ended_is_closed_once(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given mailings in every status, whose end comes
    statuses: list[tuple[int, MailingStatus, Any]] = [
        *((1, RUNNING, PLANNED), (2, PAUSED, PLANNED), (3, PAUSED, None), (4, SCHEDULED, None)),
        *((5, CANCELLED, PLANNED), (6, COMPLETED, PLANNED), (7, DRAFT, None)),
    ]
    for number, status, fan_out in statuses:
        document = mailing_document(make_mailing(id=number, status=status, end_at=after(100)), fan_out=fan_out)
        past.mailings.insert_one(document)
    past.mailings.insert_one(running(8, end_at=after(101)))
    past.mailings.insert_one(running(9, end_at=None))

    # Then what has started is closed at the moment of its end, not before, and once
    assert await store.mailing_work.close_due(after(99.999)) == 0
    assert await store.mailing_work.close_due(after(100)) == 2
    assert await store.mailing_work.close_due(after(100.5)) == 0
    assert {one["_id"]: one["closed_at"] for one in past.mailings.find({"closed_at": {"$ne": None}})} == {
        1: after(100),
        2: after(100),
    }


async def test_an_end_that_is_moved_at_the_last_moment_counts_or_is_refused(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    for number in range(1, 21):
        past.mailings.insert_one(running(number, end_at=after(100)))
        seen = await store.mailings.get(number)
        moved, closed = await asyncio.gather(
            store.mailings.change(seen, after(100), edits={"end_at": after(500)}),
            store.mailing_work.close_due(after(100)),
        )
        after_all = await store.mailings.get(number)
        assert (moved is not None) != bool(closed)
        assert (after_all.end_at, after_all.closed_at) == ((after(500), None) if moved else (after(100), after(100)))
        past.mailings.delete_many({})


async def test_what_ended_lately_is_reopened_when_something_is_open(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    work = store.mailing_work
    ended = {"look_at": None, "fan_out": PLANNED, "updated_at": after(0), "statistics": {"counts": {}}}
    for number, status in ((1, COMPLETED), (2, CANCELLED), (3, RUNNING)):
        past.mailings.insert_one(mailing_document(make_mailing(id=number, status=status), **ended))
    past.mailings.insert_one(mailing_document(make_mailing(id=4, status=CANCELLED), **ended | {"look_at": after(9)}))
    found = {one.id: one for one in await work.ended_lately(after(3_600))}
    assert set(found) == {1, 2}
    assert await work.ended_lately(after(3_601)) == []
    for one in found.values():
        await work.look_again(one, after(10))
    statuses = {one["_id"]: (one["status"], one["look_at"]) for one in past.mailings.find()}
    assert statuses[1] == ("running", after(10))
    assert statuses[2] == ("cancelled", after(10))
    assert statuses[3] == ("running", None)
    # And whoever comes late, with an old view of it, changes nothing
    await work.look_again(replace(found[1], status=COMPLETED), after(99))
    assert past.mailings.find_one({"_id": 1})["look_at"] == after(10)  # type: ignore[index]  # it is there


async def test_the_next_moment_to_look(store: Store, past: Database[dict[str, Any]]) -> None:
    assert await store.mailing_work.next_look_at() is None
    past.mailings.insert_one(running(1, look_at=None))
    past.mailings.insert_one(running(2, look_at=after(1), lease={"owner": "o", "token": "t", "until": after(9)}))
    assert await store.mailing_work.next_look_at() is None
    past.mailings.insert_one(running(3, look_at=after(7)))
    past.mailings.insert_one(mailing_document(make_mailing(id=4, status=SCHEDULED, start_at=after(5))))
    assert await store.mailing_work.next_look_at() == after(5)


async def test_a_mailing_is_removed_only_when_it_was_deleted(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(running(1, status="cancelled"))
    one = await leased(store)
    await store.mailing_work.remove(one)
    assert past.mailings.count_documents({}) == 1
    assert await store.mailings.delete(1, after(2))
    await store.mailing_work.remove(one)
    assert past.mailings.count_documents({}) == 0
