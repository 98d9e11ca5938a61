"""Every change of a message's status against every status: it takes the steps it may, and matches nothing else."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.message import (
    CANCELLED,
    EXPIRED,
    FAILED,
    QUEUED,
    RETRYING,
    SENDING,
    SENT,
    STEPS,
    UNKNOWN,
    WAITING,
    Actor,
    MessageStatus,
)
from shared.store.message_statuses import MessageStatuses
from shared.store.store import Store
from tests.integration.store.making import after, make_record, message_document

IDS = list(range(1, 1 + len(MessageStatus)))
Change = Callable[[MessageStatuses], Awaitable[Any]]

CHANGES: dict[str, tuple[Actor, Change, dict[MessageStatus, MessageStatus]]] = {
    "release": (
        Actor.SCHEDULER,
        lambda statuses: statuses.release(IDS, due_at=after(60), now=after(1)),
        {WAITING: QUEUED},
    ),
    "expire": (
        Actor.SCHEDULER,
        lambda statuses: statuses.give_up(IDS, EXPIRED, reason="mailing_ended", now=after(1)),
        {WAITING: EXPIRED, QUEUED: EXPIRED, RETRYING: EXPIRED},
    ),
    "cancel": (
        Actor.SCHEDULER,
        lambda statuses: statuses.give_up(IDS, CANCELLED, reason="mailing_cancelled", now=after(1)),
        {WAITING: CANCELLED, QUEUED: CANCELLED, RETRYING: CANCELLED},
    ),
    "replay": (
        Actor.SCHEDULER,
        lambda statuses: statuses.replay(IDS, attempts=5, asked_at=after(0), due_at=after(60), now=after(1)),
        {FAILED: QUEUED, UNKNOWN: QUEUED},
    ),
    "cancel of a client": (
        Actor.API,
        lambda statuses: statuses.cancel_of_client(1, reason="client_opted_out", now=after(1)),
        {WAITING: CANCELLED, QUEUED: CANCELLED, RETRYING: CANCELLED},
    ),
    "claim": (
        Actor.SENDER,
        lambda statuses: statuses.claim(
            dict.fromkeys(IDS, 2), token="mine", sender="me", at=after(1), due_at=after(60)
        ),
        {QUEUED: SENDING, RETRYING: SENDING},
    ),
    "hand back": (
        Actor.SENDER,
        lambda statuses: statuses.hand_back(IDS, token="token", due_at=after(60), now=after(1)),
        {SENDING: QUEUED},
    ),
    "park": (
        Actor.SENDER,
        lambda statuses: statuses.park(IDS, token="token", due_at=after(60), reason="window_closed", now=after(1)),
        {SENDING: WAITING},
    ),
    "cancel claimed": (
        Actor.SENDER,
        lambda statuses: statuses.cancel_claimed(IDS, token="token", reason="client_gone", now=after(1)),
        {SENDING: CANCELLED},
    ),
    **{
        f"record {status}": (
            Actor.SENDER,
            lambda statuses, status=status: statuses.record(
                [make_record(number, status) for number in IDS], token="token", now=after(1)
            ),
            {SENDING: status},
        )
        for status in (SENT, RETRYING, FAILED, UNKNOWN)
    },
}

UNDER_A_TOKEN = ["hand back", "park", "cancel claimed", "record sent", "record retrying", "record failed"]


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_takes_the_steps_it_may(store: Store, past: Database[dict[str, Any]], name: str) -> None:
    # Given messages to one client in every status, and as many to another that nobody names
    actor, change, steps = CHANGES[name]
    ours = {
        number: message_document(number, status, mailing_id=number, client_id=1)
        for number, status in zip(IDS, MessageStatus, strict=True)
    }
    others = [
        message_document(100 + number, status, mailing_id=number, client_id=2)
        for number, status in zip(IDS, MessageStatus, strict=True)
    ]
    past.messages.insert_many([dict(one) for one in (*ours.values(), *others)])

    # When a change comes
    await change(store.message_statuses)

    # Then each takes the step, if there is one, and is else not changed at all
    for number, before in ours.items():
        status = MessageStatus(before["status"])
        after_it = past.messages.find_one({"_id": number})
        assert after_it is not None
        if status in steps:
            assert after_it["status"] == steps[status]
            assert actor in STEPS[status][steps[status]]
        else:
            assert after_it == before
    assert list(past.messages.find({"client_id": 2}).sort("_id", 1)) == others


@pytest.mark.parametrize("name", UNDER_A_TOKEN)
async def test_what_a_sender_writes_needs_its_own_token(
    store: Store, past: Database[dict[str, Any]], name: str
) -> None:
    # Given a message that another sender has claimed since
    before = message_document(1, SENDING, claim={"token": "another", "sender": "other", "at": after(0)})
    past.messages.insert_one(dict(before))

    # When the one before writes, then nothing matches, and it is told so
    assert await CHANGES[name][1](store.message_statuses) == 0
    assert past.messages.find_one({"_id": 1}) == before


@pytest.mark.parametrize("name", UNDER_A_TOKEN)
async def test_a_write_that_is_repeated_after_a_lost_answer_matches_nothing(
    store: Store, past: Database[dict[str, Any]], name: str
) -> None:
    past.messages.insert_one(message_document(1, SENDING))
    assert await CHANGES[name][1](store.message_statuses) == 1
    once = past.messages.find_one({"_id": 1})
    assert await CHANGES[name][1](store.message_statuses) == 0
    assert past.messages.find_one({"_id": 1}) == once


@pytest.mark.parametrize("status", [WAITING, QUEUED, RETRYING])
@pytest.mark.parametrize("name", ["expire", "cancel", "cancel of a client"])
async def test_what_may_have_been_accepted_ends_unknown(
    store: Store, past: Database[dict[str, Any]], name: str, status: MessageStatus
) -> None:
    # Given a message of which an earlier attempt may have been accepted
    past.messages.insert_one(message_document(1, status, ambiguous=True))

    # When it is given up, then nobody says of it that it was not sent
    await CHANGES[name][1](store.message_statuses)
    ended = past.messages.find_one({"_id": 1})
    assert ended is not None
    assert (ended["status"], ended["due_at"]) == ("unknown", None)
    assert ended["reason"] in ("mailing_ended", "mailing_cancelled", "client_opted_out")
    assert UNKNOWN in STEPS[status]


async def test_a_claimed_one_that_may_have_been_accepted_ends_unknown(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    past.messages.insert_one(message_document(1, SENDING, ambiguous=True, attempt=3))
    assert await CHANGES["cancel claimed"][1](store.message_statuses) == 1
    ended = past.messages.find_one({"_id": 1})
    assert ended is not None
    assert (ended["status"], ended["attempt"], ended["reason"]) == ("unknown", 2, "client_gone")
    assert "claim" not in ended


@pytest.mark.parametrize("name", ["hand back", "park", "cancel claimed"])
async def test_an_attempt_without_a_call_never_happened(
    store: Store, past: Database[dict[str, Any]], name: str
) -> None:
    # Given a second attempt that has been claimed, after a first that left its trace
    trace = [{"at": after(0), "outcome": "refused", "http_status": 503, "latency_ms": 9, "error": None}]
    past.messages.insert_one(message_document(1, SENDING, attempt=2, attempts=trace))

    # When it comes to no call
    await CHANGES[name][1](store.message_statuses)

    # Then it is as it was before the claim
    undone = past.messages.find_one({"_id": 1})
    assert undone is not None
    assert (undone["attempt"], undone["attempts"]) == (1, trace)
    assert "claim" not in undone


async def test_each_change_says_what_the_next_looks_at(store: Store, past: Database[dict[str, Any]]) -> None:
    """The fields beside the status: when a scheduler looks after it, why it is so, when it changed."""
    past.messages.insert_many(message_document(number, SENDING, reason="old") for number in (1, 2, 3))
    past.messages.insert_one(message_document(4, WAITING, reason="window_closed"))
    past.messages.insert_one(message_document(5, FAILED, reason="refused", due_at=None, attempt=5))
    statuses = store.message_statuses

    await statuses.hand_back([1], token="token", due_at=after(60), now=after(1))
    await statuses.park([2], token="token", due_at=after(61), reason="window_closed", now=after(2))
    await statuses.cancel_claimed([3], token="token", reason="client_gone", now=after(3))
    await statuses.release([4], due_at=after(62), now=after(4))
    await statuses.replay([5], attempts=5, asked_at=after(0), due_at=after(63), now=after(5))

    wanted = ("status", "due_at", "reason", "updated_at", "last_attempt")
    assert {one["_id"]: tuple(one[name] for name in wanted) for one in past.messages.find()} == {
        1: ("queued", after(60), None, after(1), 5),
        2: ("waiting", after(61), "window_closed", after(2), 5),
        3: ("cancelled", None, "client_gone", after(3), 5),
        4: ("queued", after(62), None, after(4), 5),
        5: ("queued", after(63), None, after(5), 10),
    }
