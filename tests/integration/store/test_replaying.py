"""Replays: what failed, or is unknown, goes out again, numbered on; what has changed since then does not."""

from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.message import DEAD, FAILED, QUEUED, RETRYING, SENT, UNKNOWN, MessageStatus
from shared.store.mailing_documents import Replay
from shared.store.store import Store
from tests.integration.store.making import after, make_planned, make_record, message_document


async def test_attempts_are_numbered_on(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given messages that failed at their fifth attempt, and at their first
    past.messages.insert_one(message_document(1, FAILED, attempt=5, last_attempt=5, reason="out of attempts"))
    past.messages.insert_one(message_document(2, UNKNOWN, attempt=1, last_attempt=5, ambiguous=True))

    # When both are replayed with three more attempts
    await store.message_statuses.replay([1, 2], attempts=3, asked_at=after(1), due_at=after(60), now=after(2))

    # Then no command of the life before fits, each has three more, and what is ambiguous stays so
    standings = await store.messages.standings([1, 2])
    assert [(one.status, one.attempt, one.last_attempt, one.replayed_after) for one in standings.values()] == [
        (QUEUED, 5, 8, 5),
        (QUEUED, 1, 4, 1),
    ]
    assert standings[2].ambiguous
    claim = {"token": "t", "sender": "s", "at": after(3), "due_at": after(60)}
    assert await store.message_statuses.claim({1: 5, 2: 1}, **claim) == []
    won = await store.message_statuses.claim({1: 6, 2: 2}, **claim)
    assert {one.id: one.replayed_after for one in won} == {1: 5, 2: 1}


async def test_a_message_of_before_replays_were_counted_was_never_replayed(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    past.messages.insert_one(message_document(1, QUEUED, attempt=2))
    past.messages.update_one({"_id": 1}, {"$unset": {"replayed_after": ""}})

    assert (await store.messages.standings([1]))[1].replayed_after == 0
    claim = {"token": "t", "sender": "s", "at": after(3), "due_at": after(60)}
    [won] = await store.message_statuses.claim({1: 3}, **claim)
    assert won.replayed_after == 0


async def test_what_changed_after_it_was_asked_for_is_left_alone(store: Store, past: Database[dict[str, Any]]) -> None:
    """So a replay comes to an end, whatever its messages come to."""
    past.messages.insert_one(message_document(1, FAILED, updated_at=after(9)))
    past.messages.insert_one(message_document(2, FAILED, updated_at=after(10)))
    past.messages.insert_one(message_document(3, FAILED, updated_at=after(11)))
    request = Replay(after(10), (), None, ())
    assert [one.id for one in await store.messages.to_replay(1, request, limit=10)] == [1, 2]
    await store.message_statuses.replay([1, 2, 3], attempts=5, asked_at=after(10), due_at=after(60), now=after(12))
    assert {one["_id"] for one in past.messages.find({"status": "queued"})} == {1, 2}

    # When one of them fails again, then it is not replayed by the same request
    await store.message_statuses.claim({1: 2}, token="t", sender="s", at=after(13), due_at=after(60))
    await store.message_statuses.record([make_record(1, FAILED)], token="t", now=after(14))
    assert await store.messages.to_replay(1, request, limit=10) == []


@pytest.mark.parametrize(
    ("request_of", "expected"),
    [
        (Replay(after(10), (), None, ()), {1, 2, 3, 4}),
        (Replay(after(10), (FAILED,), None, ()), {1, 2}),
        (Replay(after(10), (UNKNOWN,), None, ()), {3, 4}),
        (Replay(after(10), (), "$why", ()), {2, 4}),
        (Replay(after(10), (FAILED,), "$why", ()), {2}),
        (Replay(after(10), (), None, (1, 3, 5, 404)), {1, 3}),
        (Replay(after(10), (SENT, RETRYING), None, ()), set()),
        (Replay(after(10), (SENT, FAILED), None, ()), {1, 2}),
        (Replay(after(10), (), "", ()), set()),
    ],
)
async def test_it_is_for_what_it_names(
    store: Store, past: Database[dict[str, Any]], request_of: Replay, expected: set[int]
) -> None:
    past.messages.insert_many(
        [
            message_document(1, FAILED, reason="a"),
            message_document(2, FAILED, reason="$why"),
            message_document(3, UNKNOWN, reason=None),
            message_document(4, UNKNOWN, reason="$why"),
            message_document(5, SENT, reason="$why"),
            message_document(6, RETRYING, reason="a"),
            message_document(7, FAILED, reason="a", mailing_id=2),
        ]
    )
    found = await store.messages.to_replay(1, request_of, limit=100)
    assert {one.id for one in found} == expected
    assert len(await store.messages.to_replay(1, request_of, limit=1)) == min(1, len(expected))
    # And the count of what would be replayed is the same
    statuses = DEAD.intersection(request_of.statuses) if request_of.statuses else DEAD
    counted = await store.messages.count(1, statuses, reason=request_of.reason, message_ids=request_of.message_ids)
    assert counted == len(expected)


async def test_a_replay_of_nothing_changes_nothing(store: Store, past: Database[dict[str, Any]]) -> None:
    before = [message_document(number, status) for number, status in enumerate(MessageStatus)]
    past.messages.insert_many([dict(one) for one in before])
    await store.message_statuses.replay([], attempts=5, asked_at=after(1), due_at=after(60), now=after(2))
    assert list(past.messages.find().sort("_id", 1)) == before


async def test_planned_messages_are_never_replayed(store: Store) -> None:
    await store.message_statuses.plan([make_planned(1)], after(0))
    await store.message_statuses.replay([1], attempts=5, asked_at=after(1), due_at=after(60), now=after(2))
    assert (await store.messages.standings([1]))[1].last_attempt == 5
