"""Mailings as operators and senders see them. What schedulers do with them: `mailing_work.py`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bson import BSON
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.domain.mailing import CANCELLED, COMPLETED, PAUSED, RUNNING, SCHEDULED, Mailing, MailingStatus
from shared.domain.message import DEAD
from shared.errors import Conflict, NotFound
from shared.store.connection import Document, at_the_edge
from shared.store.mailing_documents import (
    Replay,
    document_value,
    from_document,
    replay_document,
    to_document,
)
from shared.store.sequences import Sequences

SEQUENCE = "mailings"
MAX_REPLAYS_PENDING = 10
MAX_REVISIONS_BYTES = 4_000_000
"""With the pending replays, 14 bytes for each id, and the statistics far below the 16 MB of a document."""

WITHOUT_HISTORY = {"revisions": 0, "replays": 0}
FOR_LISTS = WITHOUT_HISTORY | {
    f"statistics.{name}": 0 for name in ("by_operator_code", "by_tag", "by_attempt", "sent_per_minute", "failures")
}


@dataclass(frozen=True, slots=True)
class MailingFilter:
    """What a list of mailings is narrowed to; None and empty mean no bound."""

    statuses: tuple[MailingStatus, ...] = ()
    name: str | None = None
    start_from: datetime | None = None
    start_to: datetime | None = None


@at_the_edge
class Mailings:
    """The collection `mailings`. Deleted mailings are hidden here from the moment of the deletion."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]", sequences: Sequences) -> None:
        self._collection = database["mailings"]
        self._sequences = sequences

    async def reserve_id(self) -> int:
        """An id that no mailing has, and that none gets but under `create`."""
        return await self._sequences.reserve(SEQUENCE, 1)

    async def create(self, mailing: Mailing, now: datetime, *, mailing_id: int | None = None) -> Mailing:
        """Store a new mailing.

        Args:
            mailing_id: a reserved id. If there is a mailing of this id, it is left alone and returned: it was created
                by a request whose answer was lost.

        Raises:
            NotFound: the mailing of this id has been deleted already.
        """
        if mailing_id is None:
            mailing_id = await self.reserve_id()
        mailing = replace(mailing, id=mailing_id, created_at=now, updated_at=now)
        try:
            await self._collection.insert_one(to_document(mailing))
        except DuplicateKeyError:
            return await self.get(mailing_id)
        return mailing

    async def get(self, mailing_id: int) -> Mailing:
        """
        Raises:
            NotFound: there is no such mailing, or it was deleted.
        """
        document = await self._collection.find_one({"_id": mailing_id, "deleted_at": None}, WITHOUT_HISTORY)
        if document is None:
            raise NotFound("mailing", mailing_id)
        return from_document(document)

    async def page(self, narrowed: MailingFilter, *, before_id: int | None, limit: int) -> list[Mailing]:
        """At most `limit` mailings, the youngest first, with ids below `before_id`.

        Of frozen statistics they hold the counts alone: the whole may be a megabyte each.
        """
        query = _query(narrowed)
        if before_id is not None:
            query["_id"] = {"$lt": before_id}
        found = self._collection.find(query, FOR_LISTS).sort("_id", -1).limit(limit)
        return [from_document(document) async for document in found]

    async def counted_now(self, *, without: Collection[int]) -> list[Mailing]:
        """The mailings, but for these ids, that have messages and no frozen counts."""
        query = {"deleted_at": None, "statistics": None, "fan_out": {"$ne": None}, "_id": {"$nin": list(without)}}
        return [from_document(document) async for document in self._collection.find(query, WITHOUT_HISTORY)]

    async def ids_with_dead_letters(self, *, from_id: int, limit: int) -> list[int]:
        """Ids, from `from_id` up, of at most `limit` mailings that may have failed or unknown messages."""
        query = {
            "_id": {"$gte": from_id},
            "deleted_at": None,
            "fan_out": {"$ne": None},
            "$or": [
                {"statistics": None},
                *({f"statistics.counts.{status.value}": {"$gt": 0}} for status in sorted(DEAD)),
            ],
        }
        found = self._collection.find(query, {"_id": 1}).sort("_id", 1).limit(limit)
        return [int(document["_id"]) async for document in found]

    async def revisions(self, mailing_id: int) -> list[Document]:
        """What was edited, oldest first: `{revision, at, before}`, `before` holding the fields as they had been."""
        document = await self._collection.find_one({"_id": mailing_id, "deleted_at": None}, {"revisions": 1})
        if document is None:
            raise NotFound("mailing", mailing_id)
        return list(document["revisions"])

    async def change(
        self,
        seen: Mailing,
        now: datetime,
        *,
        status: MailingStatus | None = None,
        edits: Mapping[str, Any] | None = None,
        times: Mapping[str, datetime] | None = None,
        pause_reason: str | None = None,
        request_id: str | None = None,
    ) -> Mailing | None:
        """Change a mailing that is still as it was seen: same status, revision, end, and as little closed.

        Args:
            seen: the mailing as it was when the change was found to be allowed.
            status: the new status, if that changes.
            edits: new values of fields, if an operator edits; they make a new revision.
            times: `start_at` and `end_at` of a draft, as its launch fills them in; they make none.
            pause_reason: why it is paused; cleared by any other change of status.
            request_id: of the request that asks for it; kept, for the logs of all that it brings about.

        Returns:
            The mailing after the change; None when it was not as seen any more, so look again.

        Raises:
            Conflict: `too_many_revisions`, the history is as long as a document can hold.
        """
        look_at = _look_at(seen, status or seen.status, {**(edits or {}), **(times or {})}, now)
        settings: Document = {"updated_at": now, "look_at": look_at, "request_id": request_id, **(times or {})}
        query = _as_seen(seen)
        update: Document = {"$set": settings}
        increments: Document = {}
        if status is not None:
            settings |= {"status": status.value, "pause_reason": pause_reason}
            if status is CANCELLED:
                settings["replays"] = []
            if seen.status is PAUSED:
                increments["generation"] = 1
        if edits:
            settings |= {name: document_value(value) for name, value in edits.items()}
            settings["revision"] = seen.revision + 1
            if "rate_per_s" in edits:
                settings["paced_until"] = None
            if "local_window" in edits:
                settings["window_changed"] = True
            before = {name: document_value(getattr(seen, name)) for name in edits}
            revision: Document = {"revision": seen.revision + 1, "at": now, "before": before}
            update["$push"] = {"revisions": revision}
            increments["revisions_bytes"] = len(BSON.encode(revision))
            query["revisions_bytes"] = {"$not": {"$gt": MAX_REVISIONS_BYTES}}
        if increments:
            update["$inc"] = increments
        document = await self._collection.find_one_and_update(
            query, update, projection=WITHOUT_HISTORY, return_document=ReturnDocument.AFTER
        )
        if document is None and edits:
            full = {"_id": seen.id, "revisions_bytes": {"$gt": MAX_REVISIONS_BYTES}}
            if await self._collection.find_one(full, {"_id": 1}):
                raise Conflict("too_many_revisions", "the mailing has been edited as often as it can be")
        return from_document(document) if document else None

    async def ask_replay(
        self, seen: Mailing, replay: Replay, now: datetime, *, request_id: str | None = None
    ) -> Mailing | None:
        """Ask for a replay, which a scheduler carries out; a completed mailing runs again.

        Returns:
            The mailing, asked; None when it was not as seen any more, so look again.

        Raises:
            Conflict: `too_many_replays`, as many as can be are pending.
        """
        last_place = f"replays.{MAX_REPLAYS_PENDING - 1}"
        # A replay that is done is known by the moment it was asked for.
        others = {last_place: {"$exists": False}, "replays.asked_at": {"$ne": replay.asked_at}}
        settings: Document = {"updated_at": now, "look_at": now, "request_id": request_id}
        update: Document = {"$set": settings, "$push": {"replays": replay_document(replay)}}
        if seen.status is COMPLETED:
            settings |= {"status": RUNNING.value, "statistics": None}
            update["$inc"] = {"generation": 1}
        document = await self._collection.find_one_and_update(
            _as_seen(seen) | others,
            update,
            projection=WITHOUT_HISTORY,
            return_document=ReturnDocument.AFTER,
        )
        if document is None and await self._collection.find_one(
            {"_id": seen.id, last_place: {"$exists": True}}, {"_id": 1}
        ):
            raise Conflict("too_many_replays", f"{MAX_REPLAYS_PENDING} replays of the mailing are waiting already")
        return from_document(document) if document else None

    async def delete(
        self, mailing_id: int, now: datetime, *, seen: Mailing | None = None, request_id: str | None = None
    ) -> bool:
        """Cancel and hide a mailing at once; a scheduler removes what belongs to it, and then the mailing.

        Args:
            seen: only if the mailing is still as it was seen.

        Returns:
            Whether it was deleted; False when it was not as seen any more, or was deleted already: look again.
        """
        settings: Document = {
            "status": CANCELLED.value,
            "deleted_at": now,
            "updated_at": now,
            "look_at": now,
            "replays": [],
            "pause_reason": None,
            "request_id": request_id,
        }
        query = _as_seen(seen) if seen is not None else {"_id": mailing_id, "deleted_at": None}
        deleted = await self._collection.update_one(query, {"$set": settings})
        return bool(deleted.matched_count)

    async def look_soon(self, mailing_ids: Collection[int], now: datetime) -> None:
        """Have a scheduler look at these mailings: they may have nothing open left."""
        await self._collection.update_many(
            {"_id": {"$in": list(mailing_ids)}, "look_at": {"$ne": None}, "fan_out": {"$ne": None}},
            {"$set": {"look_at": now, "updated_at": now}},
        )

    async def current(self, mailing_ids: Collection[int]) -> dict[int, Mailing]:
        """The mailings of these ids as they are now, by id. Deleted ones are cancelled ones, until they are gone."""
        found = self._collection.find({"_id": {"$in": list(mailing_ids)}}, {"revisions": 0, "statistics": 0})
        return {int(document["_id"]): from_document(document) async for document in found}


def _look_at(seen: Mailing, status: MailingStatus, edits: Mapping[str, Any], now: datetime) -> datetime | None:
    """When a scheduler has to look at a changed mailing: at once, unless it only waits for its start or end."""
    if seen.started or status is CANCELLED:
        return now
    waits_for = {SCHEDULED: "start_at", PAUSED: "end_at"}.get(status)
    look_at: datetime | None = edits.get(waits_for, getattr(seen, waits_for)) if waits_for else None
    return look_at


def _as_seen(seen: Mailing) -> Document:
    return {
        "_id": seen.id,
        "deleted_at": None,
        "status": seen.status.value,
        "revision": seen.revision,
        "end_at": seen.end_at,
        "closed_at": seen.closed_at,
        "fan_out": {"$ne": None} if seen.started else None,
    }


def _query(narrowed: MailingFilter) -> Document:
    query: Document = {"deleted_at": None}
    if narrowed.statuses:
        query["status"] = {"$in": [status.value for status in narrowed.statuses]}
    if narrowed.name is not None:
        query["name"] = narrowed.name
    start: Document = {}
    if narrowed.start_from is not None:
        start["$gte"] = narrowed.start_from
    if narrowed.start_to is not None:
        start["$lt"] = narrowed.start_to
    if start:
        query["start_at"] = start
    return query
