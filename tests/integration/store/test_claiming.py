"""Claims: one attempt, one claim, whoever asks and however often."""

import asyncio
import random
from typing import Any

from pymongo.database import Database

from shared.domain.message import RETRYING, SENDING, MessageStatus
from shared.store.message_documents import ClaimedMessage
from shared.store.store import Store
from tests.integration.store.making import after, make_planned, make_record, message_document


async def test_a_claim_gives_what_a_call_needs(store: Store) -> None:
    await store.message_statuses.plan([make_planned(1, mailing_id=3, client_id=7)], after(0))
    won = await store.message_statuses.claim({1: 1}, token="t", sender="s", at=after(1), due_at=after(60))
    assert won == [
        ClaimedMessage(
            id=1,
            mailing_id=3,
            client_id=7,
            phone="79001234567",
            timezone="Europe/Moscow",
            fields={"name": "Ann"},
            attempt=1,
            last_attempt=5,
            ambiguous=False,
            replayed_after=0,
        )
    ]
    standing = (await store.messages.standings([1]))[1]
    assert (standing.status, standing.attempt) == (SENDING, 1)
    assert (standing.claim_token, standing.claimed_at) == ("t", after(1))


async def test_only_the_attempt_that_comes_next_is_claimed(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given messages that have had no, one and two attempts
    past.messages.insert_many(message_document(number, RETRYING, attempt=number) for number in (0, 1, 2))
    past.messages.insert_one(message_document(3, RETRYING, attempt=0))

    # When commands of different attempts claim them in one batch, one too late, one too early, then each finds its own
    attempts = {0: 1, 1: 2, 2: 2, 3: 2}
    won = await store.message_statuses.claim(attempts, token="t", sender="s", at=after(1), due_at=after(60))
    assert {(one.id, one.attempt) for one in won} == {(0, 1), (1, 2)}
    standings = await store.messages.standings([2, 3])
    assert {(one.status, one.attempt) for one in standings.values()} == {(RETRYING, 2), (RETRYING, 0)}


async def test_a_claim_that_is_repeated_finds_what_it_won(store: Store) -> None:
    # Given a claim whose answer was lost, and another's in between
    await store.message_statuses.plan([make_planned(number) for number in (1, 2, 3)], after(0))
    first = {"token": "mine", "sender": "me", "at": after(1), "due_at": after(60)}
    await store.message_statuses.claim({1: 1, 2: 1}, **first)
    await store.message_statuses.claim({3: 1}, token="theirs", sender="they", at=after(2), due_at=after(60))

    # When it is repeated under its token, for all that it had asked for
    won = await store.message_statuses.claim({1: 1, 2: 1, 3: 1}, **first)

    # Then it has what it had won, and nothing else
    assert {one.id for one in won} == {1, 2}
    assert all(one.attempt == 1 for one in won)


async def test_a_claim_that_is_repeated_does_not_find_what_is_over(store: Store) -> None:
    await store.message_statuses.plan([make_planned(1), make_planned(2)], after(0))
    claim = {"token": "t", "sender": "s", "at": after(1), "due_at": after(60)}
    await store.message_statuses.claim({1: 1, 2: 1}, **claim)
    await store.message_statuses.record([make_record(1)], token="t", now=after(2))
    assert {one.id for one in await store.message_statuses.claim({1: 1, 2: 1}, **claim)} == {2}


async def test_senders_at_the_same_messages_win_each_once(store: Store) -> None:
    # Given three hundred messages, some of them at their second attempt, and commands for them with five senders
    ids = list(range(300))
    await store.message_statuses.plan([make_planned(number) for number in ids], after(0))
    second = ids[::3]
    await store.message_statuses.claim(dict.fromkeys(second, 1), token="0", sender="s", at=after(0), due_at=after(9))
    records = [make_record(number, MessageStatus.RETRYING, due_at=after(9)) for number in second]
    assert await store.message_statuses.record(records, token="0", now=after(1)) == len(second)
    attempts = {number: 2 if number in second else 1 for number in ids}
    won: list[tuple[str, int, int]] = []

    # When all of them claim all, in batches of their own, in an order of their own
    async def claim_all(sender: str) -> None:
        order = random.Random(sender).sample(ids, len(ids))
        for at in range(0, len(order), 60):
            batch = {number: attempts[number] for number in order[at : at + 60]}
            token = f"{sender}-{at}"
            claimed = await store.message_statuses.claim(
                batch, token=token, sender=sender, at=after(1), due_at=after(60)
            )
            won.extend((token, one.id, one.attempt) for one in claimed)

    await asyncio.gather(*map(claim_all, "abcde"))

    # Then each was won by one of them, at its attempt, and stands under the winner's token
    assert sorted((number, attempt) for _, number, attempt in won) == sorted(attempts.items())
    standings = await store.messages.standings(ids)
    assert {(standings[number].claim_token, number, standings[number].attempt) for number in ids} == set(won)


async def test_a_claim_and_a_cancel_at_the_same_moment_never_both_win(store: Store) -> None:
    for message_id in range(20):
        await store.message_statuses.plan([make_planned(message_id)], after(0))
        won, _ = await asyncio.gather(
            store.message_statuses.claim({message_id: 1}, token="t", sender="s", at=after(1), due_at=after(60)),
            store.message_statuses.cancel_of_client(message_id, reason="client_opted_out", now=after(1)),
        )
        status = (await store.messages.standings([message_id]))[message_id].status
        assert status == ("sending" if won else "cancelled")


async def test_an_empty_claim_claims_nothing(store: Store) -> None:
    assert await store.message_statuses.claim({}, token="t", sender="s", at=after(1), due_at=after(60)) == []
    assert await store.message_statuses.claim({404: 1}, token="t", sender="s", at=after(1), due_at=after(60)) == []
