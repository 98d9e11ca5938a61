"""What attempts came to, recorded in batches: each message gets its own, to the letter, whatever the letters are."""

import random
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from shared.domain.message import FAILED, RETRYING, SENDING, SENT, UNKNOWN, MessageStatus, Outcome
from shared.errors import NotFound
from shared.store.message_documents import Attempt
from shared.store.store import Store
from tests.integration.store.making import after, make_planned, make_record, message_document

ODD_TEXTS = [
    "$status",
    "$$ROOT",
    "$record.status",
    "a.b.c",
    "{'$set': {'status': 'sent'}}",
    "nul \0 inside",
    "Ünïcödé 🎈 \u2028 \uffff \U0010ffff",
    "x" * 10_000,
    "",
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
async def test_what_a_provider_says_stays_what_it_said(store: Store, text: str) -> None:
    # Given a claimed message
    await store.message_statuses.plan([make_planned(1)], after(0))
    await store.message_statuses.claim({1: 1}, token="t", sender="s", at=after(1), due_at=after(60))

    # When its attempt came to an error with such a text, as its reason too
    attempt = Attempt(after(2), Outcome.PERMANENT, http_status=400, latency_ms=0, error=text)
    record = make_record(1, FAILED, reason=text, attempt=attempt)
    assert await store.message_statuses.record([record], token="t", now=after(3)) == 1

    # Then that is what is read
    message = await store.messages.get(1)
    assert (message.status, message.reason, message.attempts) == (FAILED, text, (attempt,))
    # And what gives up a message keeps its reason as well
    await store.message_statuses.plan([make_planned(2)], after(0))
    await store.message_statuses.give_up([2], MessageStatus.CANCELLED, reason=text, now=after(3))
    assert (await store.messages.get(2)).reason == text


async def test_each_message_of_a_batch_gets_its_own_outcome(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given two hundred claimed messages, with ids of 32 bits and of 64
    chance = random.Random(1)
    ids = [number if number % 2 else 2**40 + number for number in range(200)]
    past.messages.insert_many(message_document(number, SENDING, attempts=[], client_id=number) for number in ids)

    # When all their outcomes are recorded in one update, in another order
    records = []
    for number in chance.sample(ids, len(ids)):
        status = chance.choice([SENT, RETRYING, FAILED, UNKNOWN])
        attempt = Attempt(
            after(number % 100),
            chance.choice(list(Outcome)),
            http_status=chance.choice([None, 200, 503]),
            latency_ms=chance.choice([None, number % 997]),
            error=chance.choice([None, f"${number}"]),
        )
        records.append(
            make_record(
                number,
                status,
                ambiguous=chance.random() < 0.5,
                reason=chance.choice([None, f"reason.{number}"]),
                due_at=after(number % 77) if status is RETRYING else None,
                attempt=attempt,
                revision=chance.choice([None, 1, 7]),
            )
        )
    assert await store.message_statuses.record(records, token="token", now=after(5)) == len(ids)

    # Then each document holds its own
    for record in records:
        message = await store.messages.get(record.message_id)
        assert (message.status, message.ambiguous, message.reason) == (record.status, record.ambiguous, record.reason)
        assert (message.due_at, message.revision) == (record.due_at, record.revision)
        assert message.attempts == (record.attempt,)
        assert message.sent_at == (record.attempt.at if record.status is SENT else None)
        assert message.updated_at == after(5)
    assert past.messages.count_documents({"$or": [{"claim": {"$exists": True}}, {"record": {"$exists": True}}]}) == 0


async def test_a_record_that_matches_in_part_says_how_many(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a batch of which one was lost to another claim, one is over, and one is gone
    past.messages.insert_many(message_document(number, SENDING) for number in (1, 2))
    past.messages.insert_one(message_document(3, SENDING, claim={"token": "another", "sender": "s", "at": after(0)}))
    past.messages.insert_one(message_document(4, SENT))
    records = [make_record(number) for number in (1, 2, 3, 4, 5)]
    assert await store.message_statuses.record(records, token="token", now=after(5)) == 2
    assert [one["status"] for one in past.messages.find().sort("_id", 1)] == ["sent", "sent", "sending", "sent"]


async def test_every_attempt_leaves_its_trace(store: Store) -> None:
    # Given a message that is refused, handed back, of unknown outcome, and then accepted
    await store.message_statuses.plan([make_planned(1)], after(0))
    statuses = store.message_statuses
    traces: list[Attempt] = []

    async def attempt(number: int, status: MessageStatus, outcome: Outcome, *, ambiguous: bool) -> None:
        token = f"token {number}"
        at = after(10 * number)
        [claimed] = await statuses.claim({1: number}, token=token, sender="s", at=at, due_at=after(999))
        assert claimed.attempt == number
        trace = Attempt(at + timedelta(milliseconds=7), outcome, http_status=None, latency_ms=number, error=None)
        record = make_record(1, status, ambiguous=ambiguous, attempt=trace)
        assert await statuses.record([record], token=token, now=at) == 1
        traces.append(trace)

    await attempt(1, RETRYING, Outcome.REFUSED, ambiguous=False)
    [_] = await statuses.claim({1: 2}, token="handed back", sender="s", at=after(15), due_at=after(999))
    assert await statuses.hand_back([1], token="handed back", due_at=after(999), now=after(16)) == 1
    await attempt(2, RETRYING, Outcome.UNKNOWN, ambiguous=True)
    await attempt(3, SENT, Outcome.ACCEPTED, ambiguous=True)

    # Then its history holds the three attempts that were made, in their order, to the millisecond
    message = await store.messages.get(1)
    assert message.attempts == tuple(traces)
    assert (message.attempt, message.ambiguous, message.sent_at) == (3, True, traces[-1].at)


async def test_instants_are_utc_and_whole_milliseconds(store: Store) -> None:
    # Given instants of another offset, to the microsecond
    fine = after(2).replace(microsecond=123_456).astimezone(timezone(timedelta(hours=3)))
    await store.message_statuses.plan([make_planned(1, due_at=fine)], fine)
    await store.message_statuses.claim({1: 1}, token="t", sender="s", at=fine, due_at=fine)
    record = make_record(1, attempt=replace(make_record(1).attempt, at=fine))
    await store.message_statuses.record([record], token="t", now=fine)

    # Then they are read as UTC, to the millisecond below
    message = await store.messages.get(1)
    for instant in (message.created_at, message.updated_at, message.sent_at, message.attempts[0].at):
        assert instant is not None
        assert instant == after(2).replace(microsecond=123_000)
        assert instant.utcoffset() == timedelta(0)


async def test_a_text_that_is_no_unicode_is_refused_and_changes_nothing(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    """A lone surrogate: whoever calls has to replace it before. A whole batch would else be stuck with it."""
    past.messages.insert_one(message_document(1, SENDING))
    record = make_record(1, FAILED, reason="\ud800")
    with pytest.raises(UnicodeEncodeError):
        await store.message_statuses.record([record], token="token", now=after(1))
    assert (await store.messages.standings([1]))[1].status is SENDING


async def test_there_is_no_message_of_another_id(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.messages.get(404)
    assert await store.messages.standings([404]) == {}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
async def test_any_text_comes_back(store: Store, past: Database[dict[str, Any]], text: str) -> None:
    past.messages.delete_many({})
    past.messages.insert_one(message_document(1, SENDING, attempts=[]))
    attempt = Attempt(after(1), Outcome.PERMANENT, error=text)
    await store.message_statuses.record(
        [make_record(1, FAILED, reason=text, attempt=attempt)], token="token", now=after(1)
    )
    message = await store.messages.get(1)
    assert (message.reason, message.attempts[0].error) == (text, text)
