"""What schedulers keep about the dead letters: a lease for the walk, and which messages it has seen an entry of."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.domain.message import DEAD
from shared.store.connection import Document, at_the_edge
from shared.store.message_documents import STANDING_FIELDS, Standing

STATE_ID = "dead_letters"


@dataclass(frozen=True, slots=True)
class DeadLetterLease:
    """The right to look after the dead letters, and what the looks before have found."""

    token: str
    parked: int
    differs_since: datetime | None


@at_the_edge
class DeadLetterState:
    """One document of the collection `state`, and the mark `letter_walk` of each dead message."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._state = database["state"]
        self._messages = database["messages"]

    async def lease(self, now: datetime, *, every_s: float, lease_s: float) -> DeadLetterLease | None:
        """Lease the looking-after, if nobody has it and it is due.

        Args:
            every_s: least time between two looks, by all schedulers together, seconds.
            lease_s: how long the lease lasts, seconds.
        """
        token = secrets.token_hex(12)
        free: Document = {
            "_id": STATE_ID,
            "looked_at": {"$not": {"$gt": now - timedelta(seconds=every_s)}},
            "lease.until": {"$not": {"$gt": now}},
        }
        update: Document = {"$set": {"lease": {"token": token, "until": now + timedelta(seconds=lease_s)}}}
        try:
            document = await self._state.find_one_and_update(
                free, update, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:  # the document is there, and is not free
            return None
        if document is None:
            return None
        return DeadLetterLease(token, int(document.get("parked", 0)), document.get("differs_since"))

    async def prolong(self, token: str, *, until: datetime) -> bool:
        """Keep the lease for longer; False when it was lost."""
        written = await self._state.update_one(
            {"_id": STATE_ID, "lease.token": token}, {"$set": {"lease.until": until}}
        )
        return bool(written.matched_count)

    async def release(
        self, token: str, *, now: datetime, differs_since: datetime | None, parked: int | None = None
    ) -> None:
        """Give the lease back, with what this look has found.

        Args:
            differs_since: since when the queue and the store have differed; None when they agree.
            parked: the number of parked bodies, where a walk has counted them.
        """
        settings: Document = {"lease": None, "looked_at": now, "differs_since": differs_since}
        if parked is not None:
            settings["parked"] = parked
        await self._state.update_one({"_id": STATE_ID, "lease.token": token}, {"$set": settings})

    async def mark(self, message_ids: Collection[int], *, walk: str) -> set[int]:
        """Mark dead messages of which this walk has seen an entry; those of the ids that deserve theirs.

        A message that is not dead, or that was marked before (its entry is a double), is not among them.
        """
        query = {
            "_id": {"$in": list(message_ids)},
            "status": {"$in": [status.value for status in sorted(DEAD)]},
            "letter_walk": {"$ne": walk},
        }
        deserving = {int(one["_id"]) async for one in self._messages.find(query, {"_id": 1})}
        if deserving:
            await self._messages.update_many({"_id": {"$in": list(deserving)}}, {"$set": {"letter_walk": walk}})
        return deserving

    async def unmarked(self, mailing_id: int, *, walk: str, changed_before: datetime, limit: int) -> list[Standing]:
        """Dead messages of a mailing of which the walk has seen no entry, those that died just now left out."""
        query = {
            "mailing_id": mailing_id,
            "status": {"$in": [status.value for status in sorted(DEAD)]},
            "letter_walk": {"$ne": walk},
            "updated_at": {"$lt": changed_before},
        }
        found = self._messages.find(query, dict.fromkeys(STANDING_FIELDS, 1)).limit(limit)
        return [Standing.from_document(one) async for one in found]
