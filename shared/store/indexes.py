"""Indexes, as data. Created at every start; one that exists already is left alone."""

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ASCENDING, IndexModel

from shared.store.connection import Document, translate_errors

IDEMPOTENCY_KEPT_S = 24 * 3_600
OUTCOMES_KEPT_S = 24 * 3_600  # after the last one of a mailing

INDEXES: dict[str, list[IndexModel]] = {
    "clients": [
        IndexModel([("phone", ASCENDING)], name="phone", unique=True),
        IndexModel([("operator_code", ASCENDING), ("_id", ASCENDING)], name="operator_code"),
        IndexModel([("tags", ASCENDING), ("_id", ASCENDING)], name="tags"),
    ],
    "mailings": [
        IndexModel([("look_at", ASCENDING), ("served_at", ASCENDING)], name="look"),
        IndexModel([("status", ASCENDING), ("start_at", ASCENDING)], name="start"),
    ],
    "messages": [
        IndexModel([("mailing_id", ASCENDING), ("client_id", ASCENDING)], name="one_each", unique=True),
        # Serves statistics, release, mending and completion.
        IndexModel([("mailing_id", ASCENDING), ("status", ASCENDING), ("due_at", ASCENDING)], name="status"),
        IndexModel([("client_id", ASCENDING), ("_id", ASCENDING)], name="client"),
        # The page of a mailing's messages in the order of their ids, at any depth.
        IndexModel([("mailing_id", ASCENDING), ("_id", ASCENDING)], name="page"),
    ],
    "outcomes": [
        IndexModel([("counted_at", ASCENDING)], name="kept", expireAfterSeconds=OUTCOMES_KEPT_S),
    ],
    "idempotency_keys": [
        IndexModel([("created_at", ASCENDING)], name="kept", expireAfterSeconds=IDEMPOTENCY_KEPT_S),
    ],
}


@translate_errors
async def create_indexes(database: "AsyncIOMotorDatabase[Document]") -> None:
    """Create what is missing."""
    for collection, indexes in INDEXES.items():
        await database[collection].create_indexes(indexes)
