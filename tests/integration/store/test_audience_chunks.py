"""Chunks of an audience against `Audience.includes`: page after page gives exactly its clients, each once, in order."""

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from shared.domain.audience import Audience
from shared.domain.client import Client
from shared.store import clients as clients_module
from shared.store.clients import AudienceChunk
from shared.store.store import Store
from tests.integration.store.making import after, client_document, make_client

TAGS = ["vip", "a.b", "$x", "новый", "old"]
CODES = ["900", "901", "902"]


def insert(past: Database[dict[str, Any]], clients: list[Client]) -> None:
    past.clients.delete_many({})
    if clients:
        past.clients.insert_many(map(client_document, clients))


async def walk(
    store: Store, audience: Audience, *, up_to_id: int, limit: int, after_id: int = 0
) -> tuple[list[int], int]:
    """All ids that the chunks give, and how many chunks there were."""
    ids: list[int] = []
    chunks = 0
    while after_id < up_to_id:
        chunk = await store.clients.audience_chunk(audience, after_id=after_id, up_to_id=up_to_id, limit=limit)
        found = [client.id for client in chunk.clients]
        assert len(found) <= limit
        assert all(after_id < client_id <= chunk.looked_up_to for client_id in found)
        assert after_id < chunk.looked_up_to <= up_to_id
        assert len(found) == limit or chunk.looked_up_to == up_to_id
        ids += found
        after_id, chunks = chunk.looked_up_to, chunks + 1
    return ids, chunks


audiences = st.builds(
    Audience,
    st.lists(st.sampled_from(CODES), unique=True).map(tuple),
    st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
    st.booleans(),
)
populations = st.lists(
    st.builds(
        lambda client_id, code, tags, opted_out: make_client(
            client_id, operator_code=code, tags=tuple(tags), opted_out_at=after(0) if opted_out else None
        ),
        st.integers(1, 60) | st.integers(1, 100_000),
        st.sampled_from(CODES),
        st.lists(st.sampled_from(TAGS), unique=True, max_size=3),
        st.booleans(),
    ),
    unique_by=lambda client: client.id,
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(clients=populations, audience=audiences, limit=st.integers(1, 9), up_to_id=st.integers(0, 100_001))
async def test_chunks_give_the_audience(
    store: Store,
    past: Database[dict[str, Any]],
    clients: list[Client],
    audience: Audience,
    limit: int,
    up_to_id: int,
) -> None:
    insert(past, clients)
    ids, _ = await walk(store, audience, up_to_id=up_to_id, limit=limit)
    expected = {client.id for client in clients if client.id <= up_to_id and audience.includes(client)}
    assert ids == sorted(expected)


@pytest.mark.parametrize("limit", [9, 500])
async def test_a_large_population_is_given_once(store: Store, past: Database[dict[str, Any]], limit: int) -> None:
    # Given a thousand clients in no order, of whom few are meant
    chance = random.Random(2)
    ids = chance.sample(range(1, 50_000), 1_000)
    clients = [
        make_client(
            number,
            operator_code=chance.choice(CODES),
            tags=tuple(chance.sample(TAGS, chance.randint(0, 3))),
            opted_out_at=after(0) if chance.random() < 0.1 else None,
        )
        for number in ids
    ]
    insert(past, clients)
    audience = Audience(("900",), ("vip", "$x"))
    expected = sorted(client.id for client in clients if audience.includes(client))

    # Then the chunks give them, no more chunks than needed
    found, chunks = await walk(store, audience, up_to_id=max(ids), limit=limit)
    assert found == expected
    assert chunks <= len(expected) // limit + 1


async def test_a_sparse_audience_takes_few_chunks(store: Store, past: Database[dict[str, Any]]) -> None:
    """Ids from a sequence may have large gaps, and an audience of one may be among millions."""
    insert(past, [make_client(number, tags=("vip",)) for number in (1, 2**33, 2**40, 2**40 + 1)])
    assert await walk(store, Audience(tags=("vip",)), up_to_id=2**40 + 1, limit=500) == (
        [1, 2**33, 2**40, 2**40 + 1],
        1,
    )
    assert await walk(store, Audience(tags=("nobody",)), up_to_id=2**40 + 1, limit=500) == ([], 1)


async def test_nobody_is_meant_by_an_audience_that_names_nobody(store: Store, past: Database[dict[str, Any]]) -> None:
    insert(past, [make_client(1)])
    assert await walk(store, Audience(), up_to_id=9, limit=5) == ([], 1)


async def test_who_comes_or_goes_meanwhile_is_planned_as_he_is_found(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    # Given a fan-out that has reached client 5 of 10
    insert(past, [make_client(number) for number in range(1, 11)])
    everyone = Audience(everyone=True)
    first = await store.clients.audience_chunk(everyone, after_id=0, up_to_id=10, limit=5)
    assert first.looked_up_to == 5

    # When some come, go, opt out
    past.clients.insert_one(client_document(make_client(11)))
    past.clients.delete_one({"_id": 7})
    await store.clients.update(8, {"opted_out_at": after(1)}, after(1))

    # Then who exists was fixed at the start, and whether he matches is as it is now
    rest = await store.clients.audience_chunk(everyone, after_id=5, up_to_id=10, limit=50)
    assert [client.id for client in rest.clients] == [6, 9, 10]


async def test_a_run_of_opted_out_clients_is_read_many_at_a_time_and_ends_the_chunk(
    store: Store, past: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a chunk of one, as of a mailing that sends one a second, and 1,000 who opted out before the one who is meant
    insert(past, [*(make_client(number, opted_out_at=after(0)) for number in range(1, 1_001)), make_client(1_001)])
    all_of = clients_module.all_of
    reads: list[int] = []

    async def counted(found: Any, *, most: int) -> Any:
        documents = await all_of(found, most=most)
        reads.append(len(documents))
        return documents

    monkeypatch.setattr(clients_module, "all_of", counted)

    # When there is no time for another read, then it ends early and has come forward
    everyone = Audience(everyone=True)
    with monkeypatch.context() as hurried:
        hurried.setattr(clients_module, "READ_FOR_S", 0.0)
        chunk = await store.clients.audience_chunk(everyone, after_id=0, up_to_id=1_001, limit=1)
    assert chunk == AudienceChunk((), 200)
    assert reads == [200]

    # And when there is, then the next one finds him, in a few reads
    monkeypatch.setattr(clients_module, "READ_FOR_S", 600.0)
    chunk = await store.clients.audience_chunk(everyone, after_id=200, up_to_id=1_001, limit=1)
    assert [client.id for client in chunk.clients] == [1_001]
    assert chunk.looked_up_to == 1_001
    assert len(reads) <= 7
