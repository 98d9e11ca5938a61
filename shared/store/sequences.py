"""Sequences: int64 ids, handed out in ranges. A range that is not used up leaves a gap; no id is given twice."""

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.errors import StoreUnavailable
from shared.store.connection import Document, at_the_edge

TRIES = 10


@at_the_edge
class Sequences:
    """The collection `sequences`: `{_id: name, last}`."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["sequences"]

    async def reserve(self, name: str, count: int) -> int:
        """Reserve `count` ids (1 or more) and return the first.

        Several who make a new sequence at the same moment get in each other's way: MongoDB may answer with a
        duplicate key, SecantusDB with nothing. Trying again then leaves a gap at most.

        Raises:
            StoreUnavailable: the store gave no answer, again and again.
        """
        for _ in range(TRIES):
            try:
                counter = await self._collection.find_one_and_update(
                    {"_id": name}, {"$inc": {"last": count}}, upsert=True, return_document=ReturnDocument.AFTER
                )
            except DuplicateKeyError:
                continue
            if counter is not None:
                return int(counter["last"]) - count + 1
        raise StoreUnavailable(f"no ids of {name} could be reserved")
