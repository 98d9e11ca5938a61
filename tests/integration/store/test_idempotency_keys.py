"""Idempotency keys: of many who bring the same key, one carries the request out; the others learn what came of it."""

import asyncio
from typing import Any

from pymongo.database import Database

from shared.store.idempotency import TakenKey
from shared.store.store import Store
from tests.integration.store.making import after


async def begin(store: Store, *, at: float = 0, digest: str = "d", resource_id: int = 7, key: str = "k") -> TakenKey:
    return await store.idempotency_keys.begin(
        key, request_digest=digest, resource_id=resource_id, now=after(at), stale_before=after(at - 60)
    )


async def test_one_of_many_carries_it_out(store: Store) -> None:
    taken = await asyncio.gather(*(begin(store, resource_id=number) for number in range(10)))
    [ours] = [one for one in taken if one.ours]
    assert {one.resource_id for one in taken} == {ours.resource_id}
    assert all(one.status is None and one.body is None for one in taken)


async def test_the_answer_is_kept(store: Store) -> None:
    await begin(store)
    await store.idempotency_keys.keep("k", status=201, body='{"name":"$x \\u0000"}', location="/mailings/7")
    again = await begin(store, at=5, resource_id=8)
    assert again == TakenKey(False, "d", 7, 201, '{"name":"$x \\u0000"}', "/mailings/7")
    # And even much later nobody carries it out again
    assert not (await begin(store, at=5_000)).ours


async def test_a_request_that_died_is_taken_over_once(store: Store) -> None:
    # Given a request that was begun and never answered
    await begin(store)
    assert not (await begin(store, at=60)).ours

    # When several come after it has become stale, then one takes it over, with its resource
    taken = await asyncio.gather(*(begin(store, at=61, resource_id=number) for number in range(5)))
    assert [one.ours for one in taken].count(True) == 1
    assert {one.resource_id for one in taken} == {7}
    # And it is fresh again
    assert not (await begin(store, at=62)).ours


async def test_another_request_under_the_key_learns_whose_it_is(store: Store) -> None:
    await begin(store)
    other = await begin(store, at=500, digest="another")
    assert (other.ours, other.request_digest) == (False, "d")


async def test_a_key_that_came_to_nothing_is_free(store: Store) -> None:
    await begin(store)
    await store.idempotency_keys.forget("k")
    assert await begin(store, at=1, resource_id=9) == TakenKey(True, "d", 9, None, None, None)


async def test_keys_expire_after_a_day(store: Store, past: Database[dict[str, Any]]) -> None:
    index = past.idempotency_keys.index_information()["kept"]
    assert (index["key"], index["expireAfterSeconds"]) == ([("created_at", 1)], 24 * 3_600)
    await begin(store)
    assert past.idempotency_keys.find_one({"created_at": after(0)}) is not None
