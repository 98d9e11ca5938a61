"""Clients: unique phones, pages, changes against a version, and who can be reached."""

import asyncio
from datetime import datetime
from typing import Any

import pytest
from pymongo.database import Database

from shared.errors import Conflict, NotFound
from shared.store.clients import ClientFilter
from shared.store.store import Store
from tests.integration.store.making import after, client_document, make_client

ODD = {"tags": ("a.b", "$x", "вип 🎈"), "attributes": {"name": "Zoë \0 $name", "_x9": ""}}


async def test_a_client_is_read_as_it_was_created(store: Store) -> None:
    created = await store.clients.create(make_client(0, **ODD), after(1))
    assert created == make_client(created.id, phone=created.phone, created_at=after(1), updated_at=after(1), **ODD)
    assert await store.clients.get(created.id) == created
    assert await store.clients.greatest_id() == created.id


async def test_a_phone_belongs_to_one(store: Store) -> None:
    # When many create a client with the same phone at once, then one does
    creations = [store.clients.create(make_client(7), after(0)) for _ in range(10)]
    results = await asyncio.gather(*creations, return_exceptions=True)
    refused = [one for one in results if isinstance(one, Conflict)]
    assert len(refused) == 9
    assert {one.code for one in refused} == {"phone_taken"}

    # And nobody takes it over by an update
    other = await store.clients.create(make_client(8), after(0))
    with pytest.raises(Conflict) as taken:
        await store.clients.update(other.id, {"phone": make_client(7).phone}, after(1))
    assert taken.value.code == "phone_taken"
    assert (await store.clients.get(other.id)).updated_at == after(0)


async def test_a_change_counts_only_against_what_was_seen(store: Store) -> None:
    client = await store.clients.create(make_client(1), after(0))
    changed = await store.clients.update(client.id, {"tags": ("new",)}, after(1), if_updated_at=after(0))
    assert (changed.tags, changed.updated_at) == (("new",), after(1))
    for change in (
        store.clients.update(client.id, {"tags": ()}, after(2), if_updated_at=after(0)),
        store.clients.delete(client.id, if_updated_at=after(0)),
    ):
        with pytest.raises(Conflict) as refused:
            await change
        assert refused.value.code == "client_changed"
    await store.clients.delete(client.id, if_updated_at=after(1))
    for attempt in (
        store.clients.get(client.id),
        store.clients.delete(client.id),
        store.clients.update(client.id, {"tags": ()}, after(2)),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        (ClientFilter(), [1, 2, 3, 4]),
        (ClientFilter(phone=make_client(2).phone), [2]),
        (ClientFilter(operator_codes=("901", "902")), [2, 3]),
        (ClientFilter(tags=("a.b", "x")), [1, 3]),
        (ClientFilter(opted_out=True), [4]),
        (ClientFilter(opted_out=False), [1, 2, 3]),
        (ClientFilter(operator_codes=("900",), tags=("x",), opted_out=False), [1]),
        (ClientFilter(tags=("$x",)), []),
    ],
)
async def test_pages_hold_what_narrows_them(
    store: Store, past: Database[dict[str, Any]], narrowed: ClientFilter, expected: list[int]
) -> None:
    past.clients.insert_many(
        map(
            client_document,
            [
                make_client(1, operator_code="900", tags=("x",)),
                make_client(2, operator_code="901"),
                make_client(3, operator_code="902", tags=("a.b", "x")),
                make_client(4, operator_code="900", opted_out_at=after(0)),
            ],
        )
    )
    assert [one.id for one in await store.clients.page(narrowed, after_id=0, limit=10)] == expected
    # And page by page it is the same
    paged: list[int] = []
    while page := await store.clients.page(narrowed, after_id=paged[-1] if paged else 0, limit=1):
        paged += [one.id for one in page]
    assert paged == expected


async def test_who_can_be_reached(store: Store, past: Database[dict[str, Any]]) -> None:
    opted_out: datetime = after(0)
    clients = [make_client(1, attributes={"name": "Ann"}), make_client(2, opted_out_at=opted_out), make_client(3)]
    past.clients.insert_many(map(client_document, clients))
    assert await store.clients.reachable([1, 2, 3, 404]) == {1: {"name": "Ann"}, 3: {}}
    assert await store.clients.reachable([]) == {}


async def test_without_clients_there_is_no_greatest(store: Store) -> None:
    assert await store.clients.greatest_id() == 0
