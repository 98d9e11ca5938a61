"""Messages as readers see them. Every change of status: `message_statuses.py`."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.read_concern import ReadConcern

from shared.domain.message import DEAD, OPEN, UNSENT, MessageStatus
from shared.errors import NotFound
from shared.store.connection import Document, all_of, at_the_edge
from shared.store.mailing_documents import Replay
from shared.store.message_documents import STANDING_FIELDS, Message, Standing

WITHOUT_ATTEMPTS = {"attempts": 0, "fields": 0, "tags": 0, "claim": 0}


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Failed and unknown messages of one mailing for one reason."""

    mailing_id: int
    reason: str | None
    count: int
    oldest: datetime
    newest: datetime


def replay_query(
    mailing_id: int, statuses: tuple[MessageStatus, ...], reason: str | None, message_ids: tuple[int, ...]
) -> Document:
    """Which messages a replay is for; of the statuses, only those that can be replayed."""
    wanted = DEAD.intersection(statuses) if statuses else DEAD
    query: Document = {"mailing_id": mailing_id, "status": {"$in": [status.value for status in sorted(wanted)]}}
    if reason is not None:
        query["reason"] = reason
    if message_ids:
        query["_id"] = {"$in": list(message_ids)}
    return query


@at_the_edge
class Messages:
    """The collection `messages`, for readers."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["messages"]
        self._committed = self._collection.with_options(read_concern=ReadConcern("majority"))

    async def get(self, message_id: int) -> Message:
        """The message with its attempts.

        Raises:
            NotFound: there is no such message.
        """
        document = await self._collection.find_one({"_id": message_id})
        if document is None:
            raise NotFound("message", message_id)
        return Message.from_document(document)

    async def page_of_mailing(
        self, mailing_id: int, *, statuses: tuple[MessageStatus, ...], client_id: int | None, after_id: int, limit: int
    ) -> list[Message]:
        """At most `limit` messages of a mailing with ids above `after_id`, by id, without their attempts."""
        query: Document = {"mailing_id": mailing_id, "_id": {"$gt": after_id}}
        if statuses:
            query["status"] = {"$in": [status.value for status in statuses]}
        if client_id is not None:
            query["client_id"] = client_id
        return await self._page(query, limit)

    async def page_of_client(self, client_id: int, *, after_id: int, limit: int) -> list[Message]:
        """At most `limit` messages to a client with ids above `after_id`, by id, without their attempts."""
        return await self._page({"client_id": client_id, "_id": {"$gt": after_id}}, limit)

    async def standings(self, message_ids: Collection[int]) -> dict[int, Standing]:
        """Where the messages of these ids stand, by id; ids without a message are left out."""
        found = self._collection.find({"_id": {"$in": list(message_ids)}}, dict.fromkeys(STANDING_FIELDS, 1))
        documents = await all_of(found, most=len(message_ids))
        return {int(one["_id"]): Standing.from_document(one) for one in documents}

    async def due(
        self, mailing_id: int, *, statuses: Collection[MessageStatus], now: datetime, limit: int
    ) -> list[Standing]:
        """Messages of a mailing in these statuses that have been due for longest, by status."""
        standings: list[Standing] = []
        for status in sorted(statuses):
            if len(standings) < limit:
                query = {"mailing_id": mailing_id, "status": status.value, "due_at": {"$lte": now}}
                found = self._collection.find(query, dict.fromkeys(STANDING_FIELDS, 1))
                left = limit - len(standings)
                found = found.sort("due_at", 1).limit(left)
                standings += [Standing.from_document(one) for one in await all_of(found, most=left)]
        return standings

    async def unsent(self, mailing_id: int, *, limit: int) -> list[Standing]:
        """Messages of a mailing that are open and that no sender is at."""
        query = {"mailing_id": mailing_id, "status": {"$in": [status.value for status in sorted(UNSENT)]}}
        found = self._collection.find(query, dict.fromkeys(STANDING_FIELDS, 1)).limit(limit)
        return [Standing.from_document(one) for one in await all_of(found, most=limit)]

    async def to_replay(self, mailing_id: int, request: Replay, *, limit: int) -> list[Standing]:
        """Failed and unknown messages that a request for a replay names, and that have not changed since it."""
        query = replay_query(mailing_id, request.statuses, request.reason, request.message_ids)
        query["updated_at"] = {"$lte": request.asked_at}
        found = self._collection.find(query, dict.fromkeys(STANDING_FIELDS, 1)).limit(limit)
        return [Standing.from_document(one) for one in await all_of(found, most=limit)]

    async def next_due_at(self, mailing_id: int, statuses: Collection[MessageStatus]) -> datetime | None:
        """When the first of a mailing's messages in these statuses falls due; None when there is none."""
        earliest: datetime | None = None
        for status in sorted(statuses):
            query = {"mailing_id": mailing_id, "status": status.value}
            document = await self._collection.find_one(query, {"_id": 0, "due_at": 1}, sort=[("due_at", 1)])
            if document and (earliest is None or document["due_at"] < earliest):
                earliest = document["due_at"]
        return earliest

    async def has_open(self, mailing_id: int) -> bool:
        """Whether any message of a mailing is open, or was a moment ago.

        Told by what a majority knows, as statistics are: what is closed here is closed in the statistics, too, that are
        frozen next.
        """
        query = {"mailing_id": mailing_id, "status": {"$in": [status.value for status in sorted(OPEN)]}}
        return await self._committed.find_one(query, {"_id": 1}) is not None

    async def count(
        self,
        mailing_id: int,
        statuses: Collection[MessageStatus],
        *,
        reason: str | None = None,
        message_ids: Collection[int] = (),
    ) -> int:
        """How many messages of a mailing are in these statuses; with this reason, and among these, if given."""
        query: Document = {"mailing_id": mailing_id, "status": {"$in": [status.value for status in sorted(statuses)]}}
        if reason is not None:
            query["reason"] = reason
        if message_ids:
            query["_id"] = {"$in": list(message_ids)}
        return int(await self._collection.count_documents(query))

    async def dead_letter_groups(
        self, *, after: tuple[int, str] | None, limit: int, mailing_ids: Collection[int]
    ) -> list[DeadLetterGroup]:
        """Failed and unknown messages by mailing and reason, in that order.

        Args:
            after: mailing id and reason of the group to go on after.
            mailing_ids: the mailings to look at.
        """
        stages: list[Document] = [
            {
                "$match": {
                    "mailing_id": {"$in": sorted(mailing_ids)},
                    "status": {"$in": [status.value for status in sorted(DEAD)]},
                }
            },
            {
                "$group": {
                    "_id": {"mailing_id": "$mailing_id", "reason": {"$ifNull": ["$reason", ""]}},
                    "count": {"$sum": 1},
                    "oldest": {"$min": "$updated_at"},
                    "newest": {"$max": "$updated_at"},
                }
            },
            {"$sort": {"_id.mailing_id": 1, "_id.reason": 1}},
        ]
        if after is not None:
            mailing_id, reason = after
            beyond = [
                {"_id.mailing_id": {"$gt": mailing_id}},
                {"_id.mailing_id": mailing_id, "_id.reason": {"$gt": reason}},
            ]
            stages.append({"$match": {"$or": beyond}})
        stages.append({"$limit": limit})
        return [
            DeadLetterGroup(
                int(one["_id"]["mailing_id"]), one["_id"]["reason"] or None, one["count"], one["oldest"], one["newest"]
            )
            async for one in self._collection.aggregate(stages)
        ]

    async def _page(self, query: Document, limit: int) -> list[Message]:
        found = self._collection.find(query, WITHOUT_ATTEMPTS).sort("_id", 1).limit(limit)
        return [Message.from_document(document) for document in await all_of(found, most=limit)]
