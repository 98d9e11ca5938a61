"""The last outcomes of a mailing: bounded, in order, and those of a time before the resume are dropped."""

import asyncio
from typing import Any

from pymongo.database import Database

from shared.domain.mailing import COMPLETED, PAUSED, RUNNING, SCHEDULED
from shared.store.mailing_documents import Replay
from shared.store.store import Store
from tests.integration.store.leasing import leased
from tests.integration.store.making import PLANNED, after, mailing_document, make_mailing, running

Past = Database[dict[str, Any]]


async def test_the_last_thousand_are_kept_in_the_order_in_which_they_were_told(store: Store) -> None:
    assert await store.outcomes.recent(1, 0) == []
    await store.outcomes.add(1, 0, [False] * 600 + [True] * 100, after(0))
    await store.outcomes.add(1, 0, [False] * 400, after(1))
    await store.outcomes.add(2, 0, [True], after(1))

    assert await store.outcomes.recent(1, 0) == [False] * 500 + [True] * 100 + [False] * 400
    assert await store.outcomes.recent(2, 0) == [True]

    await store.outcomes.add(1, 0, [False] * 5_000 + [True], after(2))
    assert await store.outcomes.recent(1, 0) == [False] * 999 + [True]


async def test_a_later_generation_begins_anew_and_drops_what_still_comes_of_an_earlier_one(store: Store) -> None:
    await store.outcomes.add(1, 0, [True] * 300, after(0))
    assert await store.outcomes.recent(1, 1) == []

    await store.outcomes.add(1, 1, [False], after(1))
    await store.outcomes.add(1, 0, [True] * 300, after(2))
    await store.outcomes.add(1, 1, [True], after(3))

    assert await store.outcomes.recent(1, 1) == [False, True]
    assert await store.outcomes.recent(1, 0) == []


async def test_senders_that_begin_at_the_same_moment_lose_nothing(store: Store, past: Past) -> None:
    await asyncio.gather(*(store.outcomes.add(1, 0, [True] * 3, after(0)) for _ in range(8)))

    assert await store.outcomes.recent(1, 0) == [True] * 24
    assert past.outcomes.count_documents({}) == 1


async def test_a_resume_and_running_again_begin_the_count_anew_and_an_edit_does_not(store: Store, past: Past) -> None:
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    past.mailings.update_one({"_id": 1}, {"$unset": {"generation": ""}})  # written by an earlier version

    async def change(**changes: Any) -> int:
        changed = await store.mailings.change(await store.mailings.get(1), after(1), **changes)
        assert changed is not None
        return changed.generation

    assert await change(edits={"text": "other"}) == 0
    assert await change(status=PAUSED) == 0
    assert await change(edits={"text": "another"}) == 0
    assert await change(status=RUNNING) == 1
    assert (await store.mailings.current([1]))[1].generation == 1

    asked = await store.mailings.ask_replay(await store.mailings.get(1), Replay(after(2), (), None, ()), after(2))
    assert asked is not None and asked.generation == 1
    past.mailings.update_one({"_id": 1}, {"$set": {"status": COMPLETED.value}})
    asked = await store.mailings.ask_replay(await store.mailings.get(1), Replay(after(3), (), None, ()), after(3))
    assert asked is not None and asked.generation == 2

    past.mailings.insert_one(mailing_document(make_mailing(id=2, status=SCHEDULED)))
    launched = await store.mailings.change(await store.mailings.get(2), after(1), status=PAUSED)
    assert launched is not None and launched.generation == 0


async def test_it_is_paused_under_the_lease_with_its_reason(store: Store, past: Past) -> None:
    past.mailings.insert_one(running(1))
    one = await leased(store)
    assert await store.mailing_work.pause(one, reason="because", now=after(2))

    paused = await store.mailings.get(1)
    assert (paused.status, paused.pause_reason, paused.updated_at) == (PAUSED, "because", after(2))
    document = past.mailings.find_one({"_id": 1})
    assert document is not None and (document["lease"], document["look_at"]) == (None, after(2))
    assert not await store.mailing_work.pause(one, reason="again", now=after(3))


async def test_it_is_not_paused_over_what_happened_meanwhile(store: Store, past: Past) -> None:
    changes: list[dict[str, Any]] = [
        {"generation": 1},
        {"status": "paused"},
        {"status": "cancelled"},
        {"closed_at": after(1)},
        {"lease.token": "of another"},
    ]
    for mailing_id, change in enumerate(changes, start=1):
        past.mailings.insert_one(running(mailing_id))
        one = await leased(store)
        assert one.mailing.id == mailing_id
        past.mailings.update_one({"_id": mailing_id}, {"$set": change})
        assert not await store.mailing_work.pause(one, reason="because", now=after(2)), change
        document = past.mailings.find_one({"_id": mailing_id})
        assert document is not None and document["pause_reason"] is None
