"""Every query of the hot path is served by an index: by what its keys are, and by what the server explains."""

from typing import Any

import pytest
from pymongo.database import Database

from shared.store.indexes import INDEXES
from shared.store.store import Store
from tests.integration.store.making import after, client_document, make_client, make_planned

STATUSES = ["queued", "retrying"]
QUEUED_OF_ONE = {"mailing_id": 1, "status": "queued"}
UNSENT_OF_ONE = {"mailing_id": 1, "status": {"$in": STATUSES}}
OF_SOME_CLIENTS = {"mailing_id": 1, "client_id": {"$in": [1, 2]}}
LATER = {"$gt": 5}
PAST = {"$lte": after(1)}

HOT: dict[str, tuple[str, dict[str, Any], str | None, str]] = {
    # What it is for: collection, query, what it is sorted by, and the index that serves it
    "claim, record, standings": ("messages", {"_id": {"$in": [1, 2]}, "status": {"$in": STATUSES}}, None, "_id_"),
    "read back a redone chunk": ("messages", OF_SOME_CLIENTS, None, "one_each"),
    "due": ("messages", QUEUED_OF_ONE | {"due_at": PAST}, "due_at", "status"),
    "next due": ("messages", QUEUED_OF_ONE, "due_at", "status"),
    "unsent, open, dead": ("messages", UNSENT_OF_ONE, None, "status"),
    "page of a mailing": ("messages", {"mailing_id": 1, "_id": LATER}, "_id", "page"),
    "page of a client": ("messages", {"client_id": 1, "_id": LATER}, "_id", "client"),
    "cancel of a client": ("messages", {"client_id": 1, "status": {"$in": STATUSES}}, None, "client"),
    "reachable": ("clients", {"_id": {"$in": [1, 2]}, "opted_out_at": None}, None, "_id_"),
    "a phone": ("clients", {"phone": "79000000001"}, None, "phone"),
    "clients by code": ("clients", {"operator_code": "900", "_id": LATER}, "_id", "operator_code"),
    "clients by tag": ("clients", {"tags": "vip", "_id": LATER}, "_id", "tags"),
    "due to start": ("mailings", {"status": "scheduled", "start_at": PAST, "fan_out": None}, None, "start"),
    "outcomes of a mailing": ("outcomes", {"_id": 1, "generation": 0}, None, "_id_"),
    "to be looked at": ("mailings", {"look_at": PAST}, None, "look"),
}


async def test_all_indexes_are_there_once(store: Store, past: Database[dict[str, Any]]) -> None:
    await store.prepare(lambda _: None)
    for collection, models in INDEXES.items():
        there = past[collection].index_information()
        assert set(there) == {"_id_", *(model.document["name"] for model in models)}
    assert past.clients.index_information()["phone"]["unique"]
    assert past.messages.index_information()["one_each"]["unique"]


@pytest.mark.parametrize("name", HOT)
def test_an_index_bounds_what_the_hot_path_reads(name: str) -> None:
    """Its first keys are compared with single values; the next one gives the order, or bounds the rest."""
    collection, query, sorted_by, index = HOT[name]
    keys = ["_id"]
    for model in INDEXES[collection]:
        if model.document["name"] == index:
            keys = list(model.document["key"])
    equal = 0
    while equal < len(keys) and _is_equality(query.get(keys[equal], {})):
        equal += 1
    following = keys[equal] if equal < len(keys) else None
    assert equal or following in query
    assert sorted_by is None or following == sorted_by


@pytest.mark.parametrize("name", HOT)
async def test_the_server_reads_the_hot_path_by_an_index(
    store: Store, past: Database[dict[str, Any]], name: str
) -> None:
    # Given some documents, without which a planner may not care
    collection, query, sorted_by, _ = HOT[name]
    past.clients.insert_many(client_document(make_client(number, tags=("vip",))) for number in range(1, 50))
    await store.message_statuses.plan([make_planned(number) for number in range(1, 50)], after(0))

    # When the server explains how it would read them
    found = past[collection].find(query)
    plan = (found.sort(sorted_by, 1) if sorted_by else found).explain()["queryPlanner"]["winningPlan"]

    # Then that is by an index; the embedded store explains other ways than it goes
    if "buildEnvironment" in past.client.server_info():
        assert "IXSCAN" in str(plan) or "IDHACK" in str(plan), plan
        assert "COLLSCAN" not in str(plan), plan


def _is_equality(condition: Any) -> bool:
    return not isinstance(condition, dict) or set(condition) == {"$in"}
