"""A store with its indexes, in a database of the test's own, and the same database past it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from shared.store.store import Store


@pytest.fixture
async def store(mongo_url: str, database: str) -> AsyncIterator[Store]:
    store = Store(mongo_url, database)
    await store.prepare(lambda _: None)
    yield store
    store.close()


@pytest.fixture
def past(mongo_url: str, database: str) -> Iterator[Database[dict[str, Any]]]:
    """The database itself: to bring documents into any state, and to see what became of them."""
    with pymongo.MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        yield client[database]
