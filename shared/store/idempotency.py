"""Idempotency keys: the first answer to a request, kept for a day, so that its repetition gets the same one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from shared.store.connection import Document, at_the_edge


@dataclass(frozen=True, slots=True)
class TakenKey:
    """What is known of a key.

    Attributes:
        ours: whether whoever asked has to carry the request out.
        request_digest: of the request that the key belongs to.
        resource_id: the id that belongs to what the request creates, whoever carries it out.
        status, body, location: the answer; None while there is none.
    """

    ours: bool
    request_digest: str
    resource_id: int
    status: int | None
    body: str | None
    location: str | None

    @classmethod
    def from_document(cls, document: Document, *, ours: bool) -> Self:
        answer = (document.get(name) for name in ("status", "body", "location"))
        return cls(ours, document["request_digest"], int(document["resource_id"]), *answer)


@at_the_edge
class IdempotencyKeys:
    """The collection `idempotency_keys`."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["idempotency_keys"]

    async def begin(
        self, key: str, *, request_digest: str, resource_id: int, now: datetime, stale_before: datetime
    ) -> TakenKey:
        """Take a key for a request, or learn what is known of it.

        A key without an answer whose request began before `stale_before` is taken over, with its resource id: that
        request has died, and nobody knows how far it came.

        Args:
            resource_id: belongs to what the request creates, if the key was free.
        """
        fresh: Document = {
            "_id": key,
            "request_digest": request_digest,
            "resource_id": resource_id,
            "created_at": now,
            "begun_at": now,
        }
        while True:
            try:
                await self._collection.insert_one(fresh)
            except DuplicateKeyError:
                known = await self._collection.find_one({"_id": key})
            else:
                return TakenKey.from_document(fresh, ours=True)
            if known is not None:  # else it has expired, or was given up, in between
                return await self._known(known, request_digest, now, stale_before)

    async def keep(self, key: str, *, status: int, body: str, location: str | None) -> None:
        """Keep the answer to a key's request."""
        await self._collection.update_one(
            {"_id": key}, {"$set": {"status": status, "body": body, "location": location}}
        )

    async def forget(self, key: str) -> None:
        """Free a key whose request came to nothing."""
        await self._collection.delete_one({"_id": key})

    async def _known(self, known: Document, request_digest: str, now: datetime, stale_before: datetime) -> TakenKey:
        ours = False
        if known.get("body") is None and known["request_digest"] == request_digest and known["begun_at"] < stale_before:
            same = {"_id": known["_id"], "begun_at": known["begun_at"], "body": None}
            ours = bool((await self._collection.update_one(same, {"$set": {"begun_at": now}})).modified_count)
        return TakenKey.from_document(known, ours=ours)
