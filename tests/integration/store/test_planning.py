"""Planning a chunk, once and again: every client gets one message, and every message that needs a command is told."""

import asyncio
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from shared.domain.message import EXPIRED, QUEUED, WAITING
from shared.errors import StoreUnavailable
from shared.store.store import Store
from tests.integration.store.making import after, make_planned


async def test_a_planned_message_keeps_what_its_client_is(store: Store, past: Database[dict[str, Any]]) -> None:
    planned = make_planned(
        2**40, client_id=2**41, mailing_id=2**42, tags=("a.b", "$x", "вип"), fields={"name": "Zoë 🎈"}, due_at=after(60)
    )
    assert await store.message_statuses.plan([planned], after(1)) == [2**40]
    assert past.messages.find_one() == {
        "_id": 2**40,
        "mailing_id": 2**42,
        "client_id": 2**41,
        "phone": "79001234567",
        "operator_code": "900",
        "tags": ["a.b", "$x", "вип"],
        "timezone": "Europe/Moscow",
        "fields": {"name": "Zoë 🎈"},
        "status": "queued",
        "due_at": after(60),
        "attempt": 0,
        "last_attempt": 5,
        "replayed_after": 0,
        "ambiguous": False,
        "reason": None,
        "revision": None,
        "attempts": [],
        "created_at": after(1),
        "sent_at": None,
        "updated_at": after(1),
    }


async def test_only_what_is_queued_needs_a_command(store: Store) -> None:
    messages = [
        make_planned(1),
        make_planned(2, status=WAITING, due_at=after(60), reason="window_closed"),
        make_planned(3, status=EXPIRED, due_at=None, reason="mailing_ended"),
        make_planned(4),
    ]
    assert await store.message_statuses.plan(messages, after(0)) == [1, 4]
    assert await store.message_statuses.plan([], after(0)) == []


async def test_a_chunk_that_is_done_again_keeps_the_messages_there_are(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    # Given a chunk whose scheduler died, half of it inserted, and some of that on its way already
    await store.message_statuses.plan([make_planned(number) for number in range(1, 7)], after(0))
    await store.message_statuses.claim({2: 1, 3: 1}, token="a", sender="a", at=after(1), due_at=after(60))
    await store.message_statuses.hand_back([3], token="a", due_at=after(60), now=after(2))
    await store.message_statuses.give_up([4], EXPIRED, reason="mailing_ended", now=after(3))
    before = list(past.messages.find().sort("_id", 1))

    # When it is done again, under new ids, with clients that were not reached before
    again = [make_planned(100 + number, client_id=number) for number in range(1, 10)]
    queued = await store.message_statuses.plan(again, after(5))

    # Then each client has one message, the old one where there was one, untouched
    assert list(past.messages.find({"_id": {"$lt": 100}}).sort("_id", 1)) == before
    assert sorted(one["client_id"] for one in past.messages.find()) == list(range(1, 10))
    # And commands are needed for what is queued and was never called, old and new
    assert sorted(queued) == [1, 3, 5, 6, 107, 108, 109]

    # When it is done a third time, then nothing changes
    third = [make_planned(200 + number, client_id=number) for number in range(1, 10)]
    assert sorted(await store.message_statuses.plan(third, after(6))) == sorted(queued)
    assert past.messages.count_documents({}) == 9


async def test_one_client_may_have_messages_of_many_mailings(store: Store, past: Database[dict[str, Any]]) -> None:
    for mailing_id in (1, 2):
        planned = make_planned(mailing_id, mailing_id=mailing_id, client_id=7)
        assert await store.message_statuses.plan([planned], after(0)) == [mailing_id]
    # And the chunk of one, done again, tells nothing of the other
    assert await store.message_statuses.plan([make_planned(3, mailing_id=2, client_id=7)], after(0)) == [2]
    assert past.messages.count_documents({"client_id": 7}) == 2


async def test_schedulers_at_the_same_chunk_plan_it_once(store: Store, past: Database[dict[str, Any]]) -> None:
    # When four schedulers plan the same five hundred clients at once, each under ids of its own
    async def plan(scheduler: int) -> list[int]:
        messages = [make_planned(scheduler * 1_000 + number, client_id=number) for number in range(500)]
        return await store.message_statuses.plan(messages, after(0))

    told = await asyncio.gather(*map(plan, range(1, 5)))

    # Then each client has one message, and somebody knows of each that it needs a command
    there = {one["_id"] for one in past.messages.find({}, {"_id": 1})}
    assert len(there) == 500
    assert set().union(*told) == there


async def test_an_id_that_was_given_twice_does_not_go_unnoticed(store: Store, past: Database[dict[str, Any]]) -> None:
    """A sequence that was set back, by a restored backup say: a client would be without a message."""
    await store.message_statuses.plan([make_planned(1, client_id=1)], after(0))
    with pytest.raises(BulkWriteError):
        await store.message_statuses.plan([make_planned(1, client_id=2)], after(0))
    assert past.messages.count_documents({}) == 1


@pytest.mark.parametrize(
    ("details", "told"),
    [
        ({"writeErrors": [{"code": 11_000}, {"code": 121}]}, BulkWriteError),
        ({"writeErrors": [{"code": 11_000}, {"code": 10_107}]}, StoreUnavailable),
        ({"writeErrors": [{"code": 11_000}], "writeConcernErrors": [{"code": 64}]}, StoreUnavailable),
        ({"writeErrors": [], "writeConcernErrors": [{"code": 91}]}, StoreUnavailable),
        ({"writeErrors": [], "writeConcernErrors": [{"code": 100}]}, BulkWriteError),
    ],
)
async def test_only_duplicates_are_ignored(
    store: Store, monkeypatch: pytest.MonkeyPatch, details: dict[str, Any], told: type[Exception]
) -> None:
    """Answers that no server gives on demand."""

    async def insert_many(*_: Any, **__: Any) -> None:
        raise BulkWriteError(details)

    monkeypatch.setattr(type(store.message_statuses._collection), "insert_many", insert_many)
    with pytest.raises(told):
        await store.message_statuses.plan([make_planned(1)], after(0))
    assert (await store.messages.standings([1])) == {}


async def test_waiting_ones_are_looked_at_when_their_window_changes(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    waiting = [make_planned(number, status=WAITING, due_at=after(9_000)) for number in (1, 2)]
    others = [make_planned(3, due_at=after(9_000)), make_planned(4, mailing_id=2, status=WAITING, due_at=after(9_000))]
    await store.message_statuses.plan(waiting + others, after(0))
    await store.message_statuses.expect_window_change(1, after(5))
    due = await store.messages.due(1, statuses={WAITING, QUEUED}, now=after(5), limit=10)
    assert [one.id for one in due] == [1, 2]
    assert past.messages.count_documents({"due_at": after(9_000)}) == 2


async def test_removing_leaves_other_mailings_alone(store: Store, past: Database[dict[str, Any]]) -> None:
    await store.message_statuses.plan([make_planned(number) for number in range(1, 6)], after(0))
    await store.message_statuses.plan([make_planned(9, mailing_id=2)], after(0))
    assert [await store.message_statuses.remove(1, limit=3) for _ in range(3)] == [3, 2, 0]
    assert [one["_id"] for one in past.messages.find()] == [9]
