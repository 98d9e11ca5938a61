"""What is kept about the dead letters: a lease for the walk, doubts, and which messages it has seen an entry of.

A doubt is noted by whatever may have made the entries untrue without changing how many there are. Doubts are counted,
and a walk takes back only those that had settled when it began.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.domain.message import DEAD, UNSENT
from shared.store.connection import Document, all_of, at_the_edge
from shared.store.message_documents import STANDING_FIELDS, Standing

STATE_ID = "dead_letters"


@dataclass(frozen=True, slots=True)
class DeadLetterLease:
    """The right to look after the dead letters, and what the looks before have found.

    Attributes:
        parked: number of parked bodies that the last walk has counted.
        differs_since: since when queue and store have been known to differ, or to be in doubt; None when neither.
        in_doubt: whether a doubt was noted that no walk has taken back.
        rest_until: no walk before then; None when one may begin.
    """

    token: str
    parked: int
    differs_since: datetime | None
    in_doubt: bool = False
    rest_until: datetime | None = None


@at_the_edge
class DeadLetterState:
    """One document of the collection `state`, and the mark `letter_walk` of each dead message."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._state = database["state"]
        self._messages = database["messages"]

    # --- doubts ------------------------------------------------------------------------------------------------------

    async def doubt(self, now: datetime, *, why: str) -> None:
        """Note that the entries may not be true any more. Noted before what causes it, it survives a crash in between.

        Args:
            why: in a word, for people.
        """
        update: Document = {"$inc": {"doubts": 1}, "$max": {"doubted_at": now}, "$set": {"doubted_why": why}}
        try:
            await self._state.update_one({"_id": STATE_ID}, update, upsert=True)
        except DuplicateKeyError:  # another process has just made the document
            await self._state.update_one({"_id": STATE_ID}, update)

    async def doubt_client(self, client_id: int, now: datetime) -> bool:
        """Note a doubt if cancelling what is unsent to a client will leave messages unknown, for want of their entries.

        Returns:
            Whether there is such a message.
        """
        unsent = {"$in": [status.value for status in sorted(UNSENT)]}
        query = {"client_id": client_id, "status": unsent, "ambiguous": True}
        if await self._messages.find_one(query, {"_id": 1}) is None:
            return False
        await self.doubt(now, why="client_cancelled")
        return True

    # --- looks and walks ---------------------------------------------------------------------------------------------

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
        return DeadLetterLease(
            token,
            parked=int(document.get("parked", 0)),
            differs_since=document.get("differs_since"),
            in_doubt=document.get("doubts", 0) > document.get("doubts_cleared", 0),
            rest_until=document.get("rest_until"),
        )

    async def begin_walk(self, token: str, *, settled_before: datetime) -> int | None:
        """Note a doubt for the walk itself, which its end takes back: one that does not end leaves it.

        Args:
            settled_before: doubts that are younger may be of what the walk will miss; it then takes back none.

        Returns:
            How many doubts, counted from the first ever, the walk may take back at its end; None when the lease was
            lost.
        """
        document = await self._state.find_one_and_update(
            {"_id": STATE_ID, "lease.token": token}, {"$inc": {"doubts": 1}}, return_document=ReturnDocument.AFTER
        )
        if document is None:
            return None
        doubted_at = document.get("doubted_at")
        settled = doubted_at is None or doubted_at < settled_before
        return int(document["doubts"] if settled else document.get("doubts_cleared", 0))

    async def prolong(self, token: str, *, until: datetime) -> bool:
        """Keep the lease for longer; False when it was lost."""
        written = await self._state.update_one(
            {"_id": STATE_ID, "lease.token": token}, {"$set": {"lease.until": until}}
        )
        return bool(written.matched_count)

    async def release(
        self,
        token: str,
        *,
        now: datetime,
        differs_since: datetime | None,
        parked: int | None = None,
        doubts_cleared: int | None = None,
        rest_until: datetime | None = None,
    ) -> None:
        """Give the lease back, with what this look has found.

        Args:
            differs_since: since when queue and store have differed, or been in doubt; None when neither.
            parked: the number of parked bodies, where a walk has counted them.
            doubts_cleared: what `begin_walk` returned, where the walk has ended.
            rest_until: no walk before then, where there was one.
        """
        settings: Document = {"lease": None, "looked_at": now, "differs_since": differs_since}
        told = {"parked": parked, "doubts_cleared": doubts_cleared, "rest_until": rest_until}
        settings |= {name: value for name, value in told.items() if value is not None}
        await self._state.update_one({"_id": STATE_ID, "lease.token": token}, {"$set": settings})

    async def mark(self, message_ids: Collection[int], *, walk: str) -> dict[int, Standing]:
        """Mark dead messages of which this walk has seen an entry; those of the ids that deserve theirs, by id.

        A message that is not dead, or that was marked before (its entry is a double), is not among them.
        """
        query = {
            "_id": {"$in": list(message_ids)},
            "status": {"$in": [status.value for status in sorted(DEAD)]},
            "letter_walk": {"$ne": walk},
        }
        found = self._messages.find(query, dict.fromkeys(STANDING_FIELDS, 1))
        documents = await all_of(found, most=len(message_ids))
        deserving = {int(one["_id"]): Standing.from_document(one) for one in documents}
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
        return [Standing.from_document(one) for one in await all_of(found, most=limit)]
