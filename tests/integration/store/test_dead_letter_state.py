"""Dead letters: one scheduler looks after them at a time, and a walk knows which messages it has seen an entry of."""

import asyncio
from typing import Any

from pymongo.database import Database

from shared.domain.message import CANCELLED, FAILED, QUEUED, SENT, UNKNOWN
from shared.store.dead_letter_state import DeadLetterLease
from shared.store.store import Store
from tests.integration.store.making import after, message_document


async def lease(store: Store, at: float) -> DeadLetterLease | None:
    return await store.dead_letter_state.lease(after(at), every_s=5, lease_s=60)


async def leased(store: Store, at: float) -> DeadLetterLease:
    one = await lease(store, at)
    assert one is not None
    return one


async def test_one_of_many_looks_after_them(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a new store, and then a known one
    for at in (0, 100):
        found = await asyncio.gather(*(lease(store, at) for _ in range(8)))
        [won] = [one for one in found if one is not None]
        assert won.parked == 0
        await store.dead_letter_state.release(won.token, now=after(at), differs_since=None)
    assert past.state.count_documents({}) == 1


async def test_it_is_looked_at_every_so_often(store: Store) -> None:
    one = await leased(store, 0)
    await store.dead_letter_state.release(one.token, now=after(0), differs_since=None)
    assert await lease(store, 4.999) is None
    assert await lease(store, 5) is not None


async def test_a_lease_runs_out_unless_it_is_prolonged(store: Store) -> None:
    one = await leased(store, 0)
    assert await lease(store, 59.999) is None
    assert await store.dead_letter_state.prolong(one.token, until=after(100))
    assert await lease(store, 99.999) is None
    other = await leased(store, 100)

    # And whoever lost it, prolongs and writes nothing
    assert not await store.dead_letter_state.prolong(one.token, until=after(500))
    await store.dead_letter_state.release(one.token, now=after(101), differs_since=after(1), parked=99)
    assert await lease(store, 102) is None
    await store.dead_letter_state.release(other.token, now=after(103), differs_since=None)
    assert (await leased(store, 200)).parked == 0


async def test_what_a_look_found_is_told_to_the_next(store: Store) -> None:
    one = await leased(store, 0)
    await store.dead_letter_state.release(one.token, now=after(0), differs_since=after(0), parked=3)
    two = await leased(store, 10)
    assert (two.differs_since, two.parked) == (after(0), 3)
    await store.dead_letter_state.release(two.token, now=after(10), differs_since=None)
    three = await leased(store, 20)
    assert (three.differs_since, three.parked) == (None, 3)


async def test_an_entry_is_deserved_once_in_a_walk(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given messages, dead and not
    for number, status in enumerate((FAILED, UNKNOWN, SENT, CANCELLED, QUEUED), start=1):
        past.messages.insert_one(message_document(number, status))
    state = store.dead_letter_state

    # When a walk meets their entries, then those of the dead are deserved, the first time
    assert set(await state.mark([1, 3, 4, 5, 404], walk="one")) == {1}
    assert set(await state.mark([1, 2], walk="one")) == {2}
    assert set(await state.mark([1, 2], walk="one")) == set()
    assert set(await state.mark([], walk="one")) == set()
    # And by the next walk again
    assert set(await state.mark([1, 2], walk="two")) == {1, 2}


async def test_what_is_missing_is_known_after_a_walk(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given dead messages, one of which died just now, and one of another mailing
    for number in (1, 2, 3):
        past.messages.insert_one(message_document(number, FAILED))
    past.messages.insert_one(message_document(4, FAILED, updated_at=after(50)))
    past.messages.insert_one(message_document(5, UNKNOWN, mailing_id=2))
    past.messages.insert_one(message_document(6, SENT))
    state = store.dead_letter_state
    await state.mark([2], walk="one")

    # Then those without an entry are missing
    missing = await state.unmarked(1, walk="one", changed_before=after(50), limit=10)
    assert {one.id for one in missing} == {1, 3}
    assert len(await state.unmarked(1, walk="one", changed_before=after(50), limit=1)) == 1
    assert {one.id for one in await state.unmarked(2, walk="one", changed_before=after(50), limit=10)} == {5}
    # And a walk begins with none seen
    assert {one.id for one in await state.unmarked(1, walk="two", changed_before=after(99), limit=10)} == {1, 2, 3, 4}
