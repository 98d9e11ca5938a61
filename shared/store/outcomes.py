"""Outcomes: what the last attempts of each mailing came to, by which a scheduler judges whether it pauses itself.

Advice, not truth: senders write it beside their work, a second late, and what a sender that dies had not written is
lost. So nobody waits for a majority here, and nothing else may be concluded from it.
"""

from collections.abc import Sequence
from datetime import datetime

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import WriteConcern
from pymongo.errors import DuplicateKeyError

from shared.domain.self_pause import LAST_OUTCOMES
from shared.store.connection import Document, at_the_edge


@at_the_edge
class Outcomes:
    """The collection `outcomes`: a document for each mailing, `{_id, generation, recent, counted_at}`.

    `recent` holds the last 1,000, whether each was a permanent failure, the youngest last. `generation` is that of the
    mailing when the attempts were made: a resume begins the next one. Documents go a day after the last outcome.
    """

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["outcomes"].with_options(write_concern=WriteConcern(w=1))

    async def add(self, mailing_id: int, generation: int, outcomes: Sequence[bool], now: datetime) -> None:
        """Add outcomes to those of their generation. Those of an earlier one than is counted now are dropped."""
        last = list(outcomes[-LAST_OUTCOMES:])
        own = {"_id": mailing_id, "generation": generation}
        push: Document = {
            "$push": {"recent": {"$each": last, "$slice": -LAST_OUTCOMES}},
            "$set": {"counted_at": now},
        }
        if (await self._collection.update_one(own, push)).matched_count:
            return
        begin: Document = {"$set": {"generation": generation, "recent": last, "counted_at": now}}
        earlier = {"_id": mailing_id, "generation": {"$lt": generation}}
        if (await self._collection.update_one(earlier, begin)).matched_count:
            return
        try:
            await self._collection.insert_one(own | {"recent": last, "counted_at": now})
        except DuplicateKeyError:  # a later generation is counted, or another sender has begun this one just now
            await self._collection.update_one(own, push)

    async def recent(self, mailing_id: int, generation: int) -> list[bool]:
        """The last outcomes of this generation, the youngest last; empty when there are none."""
        document = await self._collection.find_one({"_id": mailing_id, "generation": generation}, {"recent": 1})
        return list(document["recent"]) if document else []
