"""Mailings as operators and senders see them. What schedulers do with them: `mailing_work.py`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReturnDocument

from shared.domain.audience import Audience
from shared.domain.mailing import CANCELLED, COMPLETED, PAUSED, RUNNING, SCHEDULED, Mailing, MailingStatus
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from shared.errors import NotFound
from shared.store.connection import Document, at_the_edge
from shared.store.mailing_documents import (
    Replay,
    audience_document,
    from_document,
    replay_document,
    to_document,
    window_document,
)
from shared.store.sequences import Sequences

SEQUENCE = "mailings"
MAX_REPLAYS_PENDING = 100


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

    async def create(self, mailing: Mailing, now: datetime) -> Mailing:
        """Store a new mailing; its id is given here."""
        mailing_id = await self._sequences.reserve(SEQUENCE, 1)
        mailing = replace(mailing, id=mailing_id, created_at=now, updated_at=now)
        await self._collection.insert_one(to_document(mailing))
        return mailing

    async def get(self, mailing_id: int) -> Mailing:
        """
        Raises:
            NotFound: there is no such mailing, or it was deleted.
        """
        document = await self._collection.find_one({"_id": mailing_id, "deleted_at": None})
        if document is None:
            raise NotFound("mailing", mailing_id)
        return from_document(document)

    async def page(self, narrowed: MailingFilter, *, before_id: int | None, limit: int) -> list[Mailing]:
        """At most `limit` mailings, the youngest first, with ids below `before_id`."""
        query = _query(narrowed)
        if before_id is not None:
            query["_id"] = {"$lt": before_id}
        found = self._collection.find(query).sort("_id", -1).limit(limit)
        return [from_document(document) async for document in found]

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
        pause_reason: str | None = None,
    ) -> Mailing | None:
        """Change a mailing that is still as it was seen: same status, revision, end, and as little closed.

        Args:
            seen: the mailing as it was when the change was found to be allowed.
            status: the new status, if that changes.
            edits: new values of fields, if an operator edits; they make a new revision.
            pause_reason: why it is paused; cleared by any other change of status.

        Returns:
            The mailing after the change; None when it was not as seen any more, so look again.
        """
        settings: Document = {"updated_at": now, "look_at": _look_at(seen, status or seen.status, edits or {}, now)}
        update: Document = {"$set": settings}
        if status is not None:
            settings |= {"status": status.value, "pause_reason": pause_reason}
            if status is CANCELLED:
                settings["replays"] = []
        if edits:
            settings |= {name: _value(value) for name, value in edits.items()}
            settings["revision"] = seen.revision + 1
            if "local_window" in edits:
                settings["window_changed"] = True
            before = {name: _value(getattr(seen, name)) for name in edits}
            update["$push"] = {"revisions": {"revision": seen.revision + 1, "at": now, "before": before}}
        document = await self._collection.find_one_and_update(
            _as_seen(seen), update, return_document=ReturnDocument.AFTER
        )
        return from_document(document) if document else None

    async def ask_replay(self, seen: Mailing, replay: Replay, now: datetime) -> Mailing | None:
        """Ask for a replay, which a scheduler carries out; a completed mailing runs again.

        Returns:
            The mailing, asked; None when it was not as seen any more, or too many replays are pending.
        """
        query = _as_seen(seen) | {f"replays.{MAX_REPLAYS_PENDING - 1}": {"$exists": False}}
        settings: Document = {"updated_at": now, "look_at": now}
        if seen.status is COMPLETED:
            settings |= {"status": RUNNING.value, "statistics": None}
        document = await self._collection.find_one_and_update(
            query,
            {"$set": settings, "$push": {"replays": replay_document(replay)}},
            return_document=ReturnDocument.AFTER,
        )
        return from_document(document) if document else None

    async def delete(self, mailing_id: int, now: datetime) -> None:
        """Cancel and hide a mailing at once; a scheduler removes what belongs to it, and then the mailing.

        Raises:
            NotFound: there is no such mailing, or it was deleted already.
        """
        settings: Document = {
            "status": CANCELLED.value,
            "deleted_at": now,
            "updated_at": now,
            "look_at": now,
            "replays": [],
            "pause_reason": None,
        }
        deleted = await self._collection.update_one({"_id": mailing_id, "deleted_at": None}, {"$set": settings})
        if not deleted.matched_count:
            raise NotFound("mailing", mailing_id)

    async def unsettled(self) -> list[Mailing]:
        """Mailings that have started and whose statistics are not frozen."""
        found = self._collection.find(
            {"fan_out": {"$ne": None}, "statistics": None, "deleted_at": None}, {"revisions": 0}
        )
        return [from_document(document) async for document in found]

    async def with_dead_letters(self) -> list[int]:
        """Ids of mailings that have, or may have, failed or unknown messages."""
        found = self._collection.find(
            {
                "fan_out": {"$ne": None},
                "deleted_at": None,
                "$or": [
                    {"statistics": None},
                    {"statistics.counts.failed": {"$gt": 0}},
                    {"statistics.counts.unknown": {"$gt": 0}},
                ],
            },
            {"_id": 1},
        )
        return [int(document["_id"]) async for document in found]

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


def _value(value: object) -> object:
    if isinstance(value, Audience):
        return audience_document(value)
    if isinstance(value, LocalWindow):
        return window_document(value)
    return value.value if isinstance(value, OnUnknown) else value
