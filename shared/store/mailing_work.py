"""What schedulers do with mailings: start them, close them, lease them for one chunk of work, complete them.

All of it is conditional. A chunk's result is written under the token of the lease, so a scheduler that stalled and
lost its lease writes nothing.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument

from shared.domain.mailing import CANCELLED, COMPLETED, PAUSED, RUNNING, SCHEDULED, Mailing
from shared.store.connection import Document, at_the_edge
from shared.store.mailing_documents import FanOut, Replay, fan_out_of, from_document, replays_of

LATELY = timedelta(hours=1)
UNREADABLE_WAIT = timedelta(minutes=1)
WITHOUT_HISTORY = {"revisions": 0, "statistics": 0}  # megabytes, in the worst case, which no chunk needs


@dataclass(frozen=True, slots=True)
class LeasedMailing:
    """A mailing that one scheduler may do one chunk of, until the lease runs out."""

    mailing: Mailing
    token: str
    fan_out: FanOut | None
    replays: tuple[Replay, ...]
    deleted: bool
    window_changed: bool
    paced_until: datetime | None

    @property
    def is_closed(self) -> bool:
        return self.mailing.closed_at is not None


@at_the_edge
class MailingWork:
    """The collection `mailings`, for schedulers."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["mailings"]

    async def due_to_start(self, now: datetime, *, limit: int = 100) -> list[int]:
        """Ids of mailings whose start has come, and of paused ones that ended without ever having run."""
        query = {
            "fan_out": None,
            "$or": [
                {"status": SCHEDULED.value, "start_at": {"$lte": now}},
                {"status": PAUSED.value, "end_at": {"$lte": now}},
            ],
        }
        return [int(one["_id"]) async for one in self._collection.find(query, {"_id": 1}).limit(limit)]

    async def start(self, mailing_id: int, *, upper_id: int, now: datetime) -> Mailing | None:
        """Start a mailing, if that is still due; None when it was not: another scheduler was first, or it changed.

        Args:
            upper_id: the greatest client id that the store holds: who exists is fixed here.
        """
        fan_out = {"upper_id": upper_id, "cursor": 0, "done": False}
        settings = {"fan_out": fan_out, "look_at": now, "served_at": None, "updated_at": now}
        document = await self._collection.find_one_and_update(
            {"_id": mailing_id, "status": SCHEDULED.value, "start_at": {"$lte": now}, "fan_out": None},
            {"$set": settings | {"status": RUNNING.value, "started_at": now}},
            WITHOUT_HISTORY,
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            document = await self._collection.find_one_and_update(
                {"_id": mailing_id, "status": PAUSED.value, "end_at": {"$lte": now}, "fan_out": None},
                {"$set": settings},
                WITHOUT_HISTORY,
                return_document=ReturnDocument.AFTER,
            )
        return from_document(document) if document else None

    async def close_due(self, now: datetime) -> int:
        """Take note of mailings whose end has passed. Only then is anything expired, and no edit is accepted."""
        closed = await self._collection.update_many(
            {
                "status": {"$in": [RUNNING.value, PAUSED.value]},
                "closed_at": None,
                "end_at": {"$lte": now},
                "fan_out": {"$ne": None},
            },
            {"$set": {"closed_at": now, "look_at": now, "updated_at": now}},
        )
        return closed.modified_count

    async def lease_next(self, now: datetime, *, owner: str, lease_s: float) -> LeasedMailing | None:
        """Lease the mailing that was served longest ago among those that have something to do.

        Args:
            owner: name of the scheduler, unlike that of any other. A lease of its own that it still finds is one that
                it could not give back (the store was away), since it does one chunk at a time: it takes its place.
            lease_s: how long the lease lasts, seconds.
        """
        token = secrets.token_hex(12)
        lease = {"owner": owner, "token": token, "until": now + timedelta(seconds=lease_s)}
        document = await self._collection.find_one_and_update(
            {
                "look_at": {"$lte": now},
                "$and": [
                    {"$or": [{"fan_out": {"$ne": None}}, {"status": CANCELLED.value}]},
                    {"$or": [{"lease": None}, {"lease.until": {"$lte": now}}, {"lease.owner": owner}]},
                ],
            },
            {"$set": {"lease": lease, "served_at": now}},
            WITHOUT_HISTORY,
            sort=[("served_at", 1), ("_id", 1)],
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return None
        try:
            return _leased(document, token)
        except Exception:
            # Nobody can read it: it must not be the next one again and again, before all the others.
            mine = {"_id": document["_id"], "lease.token": token}
            await self._collection.update_one(mine, {"$set": {"lease": None, "look_at": now + UNREADABLE_WAIT}})
            raise

    async def release(self, leased: LeasedMailing, *, look_at: datetime | None, **changes: Any) -> bool:
        """Give a lease back and write what the chunk came to; False when the lease was lost, and nothing is written.

        Args:
            look_at: when to look at the mailing again; None for never, unless somebody changes it. An earlier wish
                that came in meanwhile, such as a cancel's, is kept.
            changes: fields to set, in dotted form with "__" for the dot.
        """
        settings = {name.replace("__", "."): value for name, value in changes.items()} | {"lease": None}
        query: Document = {"_id": leased.mailing.id, "lease.token": leased.token}
        seen = query | {"updated_at": leased.mailing.updated_at}
        written = await self._collection.update_one(seen, {"$set": settings | {"look_at": look_at}})
        if not written.matched_count:
            written = await self._collection.update_one(query, {"$set": settings})
        return bool(written.matched_count)

    async def finish_window_change(self, leased: LeasedMailing, *, look_at: datetime) -> bool:
        """Note that a new window has been taken into account, unless there is a newer one; give the lease back."""
        query: Document = {"_id": leased.mailing.id, "lease.token": leased.token}
        seen = query | {"revision": leased.mailing.revision}
        settings: Document = {"lease": None, "look_at": look_at}
        written = await self._collection.update_one(seen, {"$set": settings | {"window_changed": False}})
        if not written.matched_count:
            written = await self._collection.update_one(query, {"$set": settings})
        return bool(written.matched_count)

    async def finish_replay(self, leased: LeasedMailing, replay: Replay, *, look_at: datetime) -> bool:
        """Take a replay that has been carried out off the list, and give the lease back."""
        written = await self._collection.update_one(
            {"_id": leased.mailing.id, "lease.token": leased.token},
            {"$pull": {"replays": {"asked_at": replay.asked_at}}, "$set": {"lease": None, "look_at": look_at}},
        )
        return bool(written.matched_count)

    async def complete(self, leased: LeasedMailing, *, statistics: Document, now: datetime) -> bool:
        """Complete a mailing and freeze its statistics: under the lease, with nothing left to plan or to replay."""
        written = await self._collection.update_one(
            {
                "_id": leased.mailing.id,
                "lease.token": leased.token,
                "fan_out.done": True,
                "replays": [],
                "$or": [{"status": RUNNING.value}, {"status": PAUSED.value, "closed_at": {"$ne": None}}],
            },
            {
                "$set": {
                    "status": COMPLETED.value,
                    "pause_reason": None,
                    "statistics": statistics,
                    "completed_at": now,
                    "updated_at": now,
                    "look_at": None,
                    "lease": None,
                }
            },
        )
        return bool(written.matched_count)

    async def pause(self, leased: LeasedMailing, *, reason: str, now: datetime) -> bool:
        """Pause a running mailing, and give the lease back: under the lease, and unless an operator has acted on it.

        Returns:
            Whether it was paused; False when it is not as leased any more: it was paused, resumed, closed or cancelled.
        """
        generation = leased.mailing.generation
        written = await self._collection.update_one(
            {
                "_id": leased.mailing.id,
                "lease.token": leased.token,
                "status": RUNNING.value,
                "closed_at": None,
                "generation": generation or {"$in": [0, None]},
            },
            {
                "$set": {
                    "status": PAUSED.value,
                    "pause_reason": reason,
                    "updated_at": now,
                    "look_at": now,
                    "lease": None,
                }
            },
        )
        return bool(written.matched_count)

    async def ended_lately(self, now: datetime) -> list[Mailing]:
        """Completed and cancelled mailings that nobody looks after any more, changed within `LATELY`."""
        found = self._collection.find(
            {
                "status": {"$in": [COMPLETED.value, CANCELLED.value]},
                "look_at": None,
                "updated_at": {"$gte": now - LATELY},
            },
            WITHOUT_HISTORY,
        )
        return [from_document(document) async for document in found]

    async def look_again(self, mailing: Mailing, now: datetime) -> None:
        """An open message was found in a mailing that is over: a completed one runs again, a cancelled is swept."""
        await self._collection.update_one(
            {"_id": mailing.id, "status": COMPLETED.value},
            {
                "$set": {"status": RUNNING.value, "statistics": None, "look_at": now, "updated_at": now},
                "$inc": {"generation": 1},
            },
        )
        await self._collection.update_one({"_id": mailing.id, "status": CANCELLED.value}, {"$set": {"look_at": now}})

    async def remove(self, leased: LeasedMailing) -> None:
        """Remove a deleted mailing of which no message is left."""
        await self._collection.delete_one(
            {"_id": leased.mailing.id, "lease.token": leased.token, "deleted_at": {"$ne": None}}
        )

    async def next_look_at(self) -> datetime | None:
        """The earliest instant, past ones included, at which a mailing that is not leased wants to be looked at."""
        query = {"look_at": {"$ne": None}, "lease": None}
        document = await self._collection.find_one(query, {"look_at": 1}, sort=[("look_at", 1)])
        return document["look_at"] if document else None


def _leased(document: Document, token: str) -> LeasedMailing:
    return LeasedMailing(
        mailing=from_document(document),
        token=token,
        fan_out=fan_out_of(document),
        replays=replays_of(document),
        deleted=document["deleted_at"] is not None,
        window_changed=bool(document.get("window_changed")),
        paced_until=document.get("paced_until"),
    )
