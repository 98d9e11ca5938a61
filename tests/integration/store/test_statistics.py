"""Statistics: counted from the messages, they add up in every answer, and say what the messages say."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from shared.domain.mailing import COMPLETED, DRAFT, RUNNING
from shared.domain.message import DEAD, MessageStatus, Outcome
from shared.store.statistics import MailingCounts, no_counts
from shared.store.store import Store
from tests.integration.store.making import (
    PLANNED,
    after,
    mailing_document,
    make_mailing,
    make_planned,
    make_record,
    message_document,
)

TAGS = ["a.b", "$x", "$$ROOT", "", "вип 🎈", "a", "_id"]


def make_messages(chance: random.Random, count: int, *, mailing_id: int = 1, first_id: int = 1) -> list[dict[str, Any]]:
    """Messages in all states that may be."""
    made = []
    for message_id in range(first_id, first_id + count):
        status = chance.choice(list(MessageStatus))
        sent_at = after(chance.randrange(0, 600)) if status is MessageStatus.SENT else None
        attempts = [
            {
                "at": after(0),
                "outcome": chance.choice(list(Outcome)).value,
                "http_status": None,
                "latency_ms": chance.choice([None, chance.randrange(0, 10_000)]),
                "error": None,
            }
            for _ in range(chance.randrange(0, 4))
        ]
        made.append(
            message_document(
                message_id,
                status,
                mailing_id=mailing_id,
                ambiguous=chance.random() < 0.2,
                operator_code=chance.choice(["900", "901"]),
                tags=chance.sample(TAGS, chance.randrange(0, 4)),
                attempt=len(attempts),
                reason=chance.choice([None, "refused", "$why.not"]),
                revision=chance.choice([None, 1, 2]),
                attempts=attempts,
                sent_at=sent_at,
            )
        )
    return made


def counted(messages: list[dict[str, Any]]) -> dict[str, int]:
    return no_counts() | Counter(one["status"] for one in messages)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), count=st.integers(0, 60))
async def test_the_whole_says_what_the_messages_say(
    store: Store, past: Database[dict[str, Any]], seed: int, count: int
) -> None:
    # Given any messages of a mailing, and some of another
    messages = make_messages(random.Random(seed), count)
    past.messages.delete_many({})
    if messages:
        past.messages.insert_many(messages)
    past.messages.insert_many(make_messages(random.Random(seed + 1), 5, mailing_id=2, first_id=1_000))

    # Then its statistics are those of a count by hand
    whole = await store.statistics.whole(1)
    assert whole["counts"] == counted(messages)
    assert whole["audience_size"] == len(messages)
    assert whole["ambiguous"] == sum(one["ambiguous"] for one in messages)
    assert whole["by_operator_code"] == {
        code: counted([one for one in messages if one["operator_code"] == code])
        for code in sorted({one["operator_code"] for one in messages})
    }
    assert whole["by_tag"] == [
        {"tag": tag, "counts": counted([one for one in messages if tag in one["tags"]])}
        for tag in sorted({tag for one in messages for tag in one["tags"]})
    ]
    attempts = Counter(str(one["attempt"]) for one in messages)
    assert list(whole["by_attempt"].items()) == sorted(attempts.items(), key=lambda item: int(item[0]))
    dead = Counter(one["reason"] or "unknown" for one in messages if one["status"] in DEAD)
    assert {one["reason"]: one["count"] for one in whole["failures"]} == dead
    assert [one["count"] for one in whole["failures"]] == sorted(dead.values(), reverse=True)
    sent = [one["sent_at"] for one in messages if one["sent_at"]]
    assert (whole["first_sent_at"], whole["last_sent_at"]) == (min(sent, default=None), max(sent, default=None))
    minutes = Counter(one.replace(second=0, microsecond=0) for one in sent)
    assert [(one["at"], one["count"]) for one in whole["sent_per_minute"]] == sorted(minutes.items())
    revisions = Counter(one["revision"] for one in messages if one["status"] == "sent" and one["revision"])
    assert await store.statistics.sent_by_revision(1) == revisions


async def test_latencies_are_those_of_the_calls_that_were_answered(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    """Not of those that got no answer, and not of those whose fault is ours."""
    calls = [(Outcome.ACCEPTED, number) for number in range(1, 1_001)]
    calls += [(Outcome.UNKNOWN, None)] * 500 + [(Outcome.UNAUTHORISED, 9_999)] * 500  # type: ignore[list-item]  # as it is
    attempts = [
        {"at": after(0), "outcome": outcome.value, "http_status": None, "latency_ms": latency, "error": None}
        for outcome, latency in calls
    ]
    random.Random(5).shuffle(attempts)
    past.messages.insert_many(
        message_document(number, MessageStatus.SENT, attempts=attempts[number * 10 : number * 10 + 10])
        for number in range(200)
    )
    latency_ms = (await store.statistics.whole(1))["latency_ms"]
    for name, exact in (("p50", 500), ("p95", 950), ("p99", 990)):
        assert latency_ms[name] == pytest.approx(exact, rel=0.02)


async def test_nothing_is_told_of_nothing(store: Store) -> None:
    assert await store.statistics.whole(404) == {
        "audience_size": 0,
        "counts": no_counts(),
        "ambiguous": 0,
        "by_operator_code": {},
        "by_tag": [],
        "by_attempt": {},
        "latency_ms": {"p50": None, "p95": None, "p99": None},
        "sent_per_minute": [],
        "first_sent_at": None,
        "last_sent_at": None,
        "failures": [],
    }
    assert await store.statistics.counts([]) == {}


async def test_what_is_frozen_comes_back_as_it_was(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a mailing whose statistics, odd tags and reasons included, are frozen as it completes
    messages = [one for one in make_messages(random.Random(7), 300) if one["status"] not in ("waiting", "sending")]
    past.messages.insert_many(messages)
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED, look_at=after(0)))
    leased = await store.mailing_work.lease_next(after(1), owner="one", lease_s=60)
    assert leased is not None
    whole = await store.statistics.whole(1)
    assert await store.mailing_work.complete(leased, statistics=whole, now=after(2))

    # When its messages change all the same, then what is told does not
    past.messages.delete_many({})
    frozen = await store.mailings.get(1)
    assert frozen.statistics == whole
    assert (await store.statistics.counts([frozen]))[1] == MailingCounts(whole["counts"], whole["ambiguous"])


async def test_totals_are_the_sum_of_all_mailings(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given frozen mailings, open ones, a draft and a deleted one
    expected: Counter[str] = Counter()
    for number, deleted_at in ((1, None), (2, None), (3, after(0))):
        counts = no_counts() | {"sent": number * 10, "failed": number}
        document = mailing_document(
            make_mailing(id=number, status=COMPLETED),
            fan_out=PLANNED,
            statistics={"counts": counts, "ambiguous": 0},
            deleted_at=deleted_at,
        )
        past.mailings.insert_one(document)
        expected += Counter() if deleted_at else Counter(counts)
    for number, fan_out in ((4, PLANNED), (5, PLANNED), (6, None)):
        status = RUNNING if fan_out else DRAFT
        past.mailings.insert_one(mailing_document(make_mailing(id=number, status=status), fan_out=fan_out))
        if fan_out:
            messages = make_messages(random.Random(number), 50, mailing_id=number, first_id=number * 100)
            past.messages.insert_many(messages)
            expected += Counter(counted(messages))

    # Then the totals are theirs
    open_ones = await store.mailings.counted_now(without=())
    assert sorted(one.id for one in open_ones) == [4, 5]
    counts_of = await store.statistics.counts(open_ones)
    assert await store.statistics.totals(counts_of.values()) == no_counts() | expected
    # And those who were frozen between the two looks are not counted twice
    assert [one.id for one in await store.mailings.counted_now(without=[4])] == [5]
    without = await store.statistics.totals((), without=[1])
    assert (without["sent"], without["failed"]) == (20, 2)
    assert await store.mailings.ids_with_dead_letters(from_id=2, limit=2) == [2, 4]


async def test_counts_add_up_at_every_moment(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a mailing of three hundred whose messages go back and forth between all statuses
    size = 300
    await store.message_statuses.plan([make_planned(number) for number in range(size)], after(0))
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    mailing = await store.mailings.get(1)
    working = True

    async def send(sender: int) -> None:
        chance = random.Random(sender)
        turn = 0
        while working:
            turn += 1
            token = f"{sender}-{turn}"
            ids = chance.sample(range(size), 60)
            attempts = {number: one.attempt + 1 for number, one in (await store.messages.standings(ids)).items()}
            claimed = await store.message_statuses.claim(
                attempts, token=token, sender="s", at=after(turn), due_at=after(999)
            )
            won = [one.id for one in claimed]
            third = len(won) // 3
            if won:
                back = {"token": token, "due_at": after(999), "now": after(turn)}
                await store.message_statuses.hand_back(won[:third], **back)
                await store.message_statuses.park(won[third : 2 * third], reason="paused", **back)
                records = [
                    make_record(number, chance.choice([MessageStatus.RETRYING, MessageStatus.FAILED]))
                    for number in won[2 * third :]
                ]
                await store.message_statuses.record(records, token=token, now=after(turn))
            await store.message_statuses.release(ids, due_at=after(999), now=after(turn))
            again = {"attempts": 5, "asked_at": after(9_999), "due_at": after(999), "now": after(turn)}
            await store.message_statuses.replay(ids, **again)  # type: ignore[arg-type]  # each of its own type

    senders = [asyncio.create_task(send(sender)) for sender in range(3)]

    # Then every look at it adds up to three hundred
    seen: set[tuple[int, ...]] = set()
    for look in range(40):
        counts = (await store.statistics.counts([mailing]))[1] if look % 2 else None
        told = counts.counts if counts else (await store.statistics.whole(1))["counts"]
        assert sum(told.values()) == size, f"look {look}: {told}"
        seen.add(tuple(told.values()))
    assert len(seen) > 5, "nothing changed meanwhile"
    working = False
    await asyncio.gather(*senders)

    # And at rest it is what a count of the documents gives
    assert (await store.statistics.counts([mailing]))[1].counts == counted(list(past.messages.find()))
