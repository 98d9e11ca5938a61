"""Mailings start, close, complete and go, each once, by one scheduler, and only when it is time."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, PAUSED, RUNNING, SCHEDULED, MailingStatus
from shared.store.store import Store
from tests.integration.store.leasing import lease, leased
from tests.integration.store.making import PLANNED, after, mailing_document, make_mailing, running


async def test_one_of_many_wins_a_mailing(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given three mailings, and eight schedulers that look at once
    past.mailings.insert_many(running(number) for number in (1, 2, 3))
    found = await asyncio.gather(*(lease(store, owner=f"scheduler {number}") for number in range(8)))

    # Then three of them have one each
    won = [one for one in found if one is not None]
    assert sorted(one.mailing.id for one in won) == [1, 2, 3]
    assert len({one.token for one in won}) == 3
    assert {one["lease"]["token"] for one in past.mailings.find()} == {one.token for one in won}


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
