"""Sequences: int64 ids, handed out in ranges. A range that is not used up leaves a gap; no id is given twice."""

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument

from shared.store.connection import Document, at_the_edge


@at_the_edge
class Sequences:
    """The collection `sequences`: `{_id: name, last}`."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["sequences"]

    async def reserve(self, name: str, count: int) -> int:
        """Reserve `count` ids (1 or more) and return the first."""
        counter = await self._collection.find_one_and_update(
            {"_id": name}, {"$inc": {"last": count}}, upsert=True, return_document=ReturnDocument.AFTER
        )
        if counter is None:
            raise LookupError(f"the store returned no counter for {name}")
        return int(counter["last"]) - count + 1
