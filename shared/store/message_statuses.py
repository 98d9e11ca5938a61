"""The life of a message: every change of its status, each one conditional update.

An update names the statuses that it may leave, and a sender's names the claim's token. So it can be repeated after a
lost answer, and whoever comes late matches nothing. Which steps exist at all: `shared.domain.message.STEPS`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import BulkWriteError

from shared.domain.message import (
    CANCELLED,
    CLAIMABLE,
    DEAD,
    QUEUED,
    SENDING,
    UNKNOWN,
    UNSENT,
    WAITING,
    MessageStatus,
)
from shared.store.connection import Document, all_of, at_the_edge
from shared.store.message_documents import (
    CLAIMED_FIELDS,
    REPLAYED_AFTER,
    Attempt,
    ClaimedMessage,
    PlannedMessage,
    Standing,
)
from shared.store.own_value import own_value

DUPLICATE_KEY = 11_000


@dataclass(frozen=True, slots=True)
class Record:
    """What an attempt made of a message."""

    message_id: int
    status: MessageStatus
    ambiguous: bool
    reason: str | None
    due_at: datetime | None
    attempt: Attempt
    revision: int | None

    def to_document(self) -> Document:
        return {
            "status": self.status.value,
            "ambiguous": self.ambiguous,
            "reason": self.reason,
            "due_at": self.due_at,
            "sent_at": self.attempt.at if self.status is MessageStatus.SENT else None,
            "revision": self.revision,
            "attempt": self.attempt.to_document(),
        }


@at_the_edge
class MessageStatuses:
    """The collection `messages`, for whoever changes it."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._collection = database["messages"]

    # --- by schedulers -----------------------------------------------------------------------------------------------

    async def plan(self, messages: Sequence[PlannedMessage], now: datetime) -> list[int]:
        """Insert messages; a client who has one of this mailing already keeps that one.

        Returns:
            The ids of those messages of the clients that are queued and were never claimed, redone or not.
        """
        if not messages:
            return []
        try:
            await self._collection.insert_many([one.to_document(now) for one in messages], ordered=False)
        except BulkWriteError as error:
            if not _only_duplicates(error):
                raise
            query = {"mailing_id": messages[0].mailing_id, "client_id": {"$in": [one.client_id for one in messages]}}
            found = await all_of(self._collection.find(query, {"status": 1, "attempt": 1}), most=len(messages))
            if len(found) < len(messages):  # an id was taken, not a client planned: he would be without a message
                raise
            return [int(one["_id"]) for one in found if one["status"] == QUEUED.value and one["attempt"] == 0]
        return [one.id for one in messages if one.status is QUEUED]

    async def release(self, message_ids: Sequence[int], *, due_at: datetime, now: datetime) -> None:
        """waiting -> queued: the window is open, the mailing runs."""
        await self._collection.update_many(
            {"_id": {"$in": list(message_ids)}, "status": WAITING.value},
            {"$set": {"status": QUEUED.value, "due_at": due_at, "reason": None, "updated_at": now}},
        )

    async def put_off(self, standings: Iterable[Standing], *, due_at: datetime) -> None:
        """Look after these messages again at `due_at`: a command is about to be published for each."""
        by_status: dict[MessageStatus, list[int]] = {}
        for one in standings:
            by_status.setdefault(one.status, []).append(one.id)
        for status, message_ids in by_status.items():
            await self._collection.update_many(
                {"_id": {"$in": message_ids}, "status": status.value}, {"$set": {"due_at": due_at}}
            )

    async def expect_window_change(self, mailing_id: int, now: datetime) -> None:
        """The window was edited: everything that waits is due now, and is judged by the new one."""
        await self._collection.update_many(
            {"mailing_id": mailing_id, "status": WAITING.value}, {"$set": {"due_at": now}}
        )

    async def give_up(self, message_ids: Sequence[int], status: MessageStatus, *, reason: str, now: datetime) -> None:
        """waiting, queued, retrying -> `status` (expired or cancelled), or unknown where it is ambiguous."""
        await self._give_up({"_id": {"$in": list(message_ids)}}, status, reason=reason, now=now)

    async def replay(
        self, message_ids: Sequence[int], *, attempts: int, asked_at: datetime, due_at: datetime, now: datetime
    ) -> None:
        """failed, unknown -> queued. Attempts are numbered on, so no command of the life before fits this one.

        Args:
            attempts: how many more each gets.
            asked_at: messages that changed later have been replayed already, or have failed anew since.
        """
        await self._collection.update_many(
            {
                "_id": {"$in": list(message_ids)},
                "status": {"$in": [status.value for status in sorted(DEAD)]},
                "updated_at": {"$lte": asked_at},
            },
            [
                {
                    "$set": {
                        "status": QUEUED.value,
                        "last_attempt": {"$add": ["$attempt", attempts]},
                        REPLAYED_AFTER: "$attempt",
                        "due_at": due_at,
                        "reason": None,
                        "updated_at": now,
                    }
                }
            ],
        )

    async def remove(self, mailing_id: int, *, limit: int) -> int:
        """Remove messages of a deleted mailing, at most `limit`; how many were removed."""
        found = self._collection.find({"mailing_id": mailing_id}, {"_id": 1}).limit(limit)
        message_ids = [one["_id"] for one in await all_of(found, most=limit)]
        if message_ids:
            await self._collection.delete_many({"_id": {"$in": message_ids}})
        return len(message_ids)

    # --- by the API, for one client ----------------------------------------------------------------------------------

    async def cancel_of_client(self, client_id: int, *, reason: str, now: datetime) -> list[int]:
        """waiting, queued, retrying -> cancelled (or unknown) for whoever opted out or was deleted.

        Returns:
            The mailings of these messages: they may have nothing open left now.
        """
        open_ones = {"client_id": client_id, "status": {"$in": [status.value for status in sorted(UNSENT)]}}
        mailing_ids = sorted(
            {int(one["mailing_id"]) async for one in self._collection.find(open_ones, {"mailing_id": 1})}
        )
        await self._give_up({"client_id": client_id}, CANCELLED, reason=reason, now=now)
        return mailing_ids

    # --- by senders --------------------------------------------------------------------------------------------------

    async def claim(
        self, attempts: Mapping[int, int], *, token: str, sender: str, at: datetime, due_at: datetime
    ) -> list[ClaimedMessage]:
        """queued, retrying -> sending, for each message whose attempt is the one before the command's.

        One update for each attempt number under one token; what was won is then read by the token, never inferred
        from counts. So the call may be repeated with the same token after a lost answer.

        Args:
            attempts: message id to the attempt that its command asks for.
            token: new for this batch.
            sender: name of the sender, for people.
            at: the moment of the claim, from which its age is told.
            due_at: when a scheduler looks after the message if nothing more is heard of it.
        """
        by_attempt: dict[int, list[int]] = {}
        for message_id, attempt in attempts.items():
            by_attempt.setdefault(attempt, []).append(message_id)
        for attempt, message_ids in by_attempt.items():
            await self._collection.update_many(
                {
                    "_id": {"$in": message_ids},
                    "status": {"$in": [status.value for status in sorted(CLAIMABLE)]},
                    "attempt": attempt - 1,
                },
                {
                    "$set": {
                        "status": SENDING.value,
                        "attempt": attempt,
                        "claim": {"token": token, "sender": sender, "at": at},
                        "due_at": due_at,
                        "updated_at": at,
                    }
                },
            )
        won = self._collection.find(
            {"_id": {"$in": list(attempts)}, "status": SENDING.value, "claim.token": token},
            dict.fromkeys((*CLAIMED_FIELDS, REPLAYED_AFTER), 1),
        )
        return [ClaimedMessage.from_document(document) for document in await all_of(won, most=len(attempts))]

    async def hand_back(
        self, message_ids: Sequence[int], *, token: str, due_at: datetime, now: datetime, reason: str | None = None
    ) -> int:
        """sending -> queued, under the token: no call was made, so the attempt never happened. How many matched."""
        return await self._undo(message_ids, QUEUED, token=token, due_at=due_at, reason=reason, now=now)

    async def park(
        self, message_ids: Sequence[int], *, token: str, due_at: datetime, reason: str, now: datetime
    ) -> int:
        """sending -> waiting, under the token: the mailing says "not now". How many matched."""
        return await self._undo(message_ids, WAITING, token=token, due_at=due_at, reason=reason, now=now)

    async def cancel_claimed(self, message_ids: Sequence[int], *, token: str, reason: str, now: datetime) -> int:
        """sending -> cancelled, or unknown where ambiguous, under the token: the client is gone. How many matched."""
        updated = await self._collection.update_many(
            {"_id": {"$in": list(message_ids)}, "status": SENDING.value, "claim.token": token},
            [
                {"$set": _given_up(CANCELLED, reason, now) | {"attempt": {"$subtract": ["$attempt", 1]}}},
                {"$unset": "claim"},
            ],
        )
        return int(updated.modified_count)

    async def record(self, records: Sequence[Record], *, token: str, now: datetime) -> int:
        """sending -> what the attempts came to, under the token. How many matched.

        One update for all. Everything that came from outside goes in as a literal, or a "$" in an error message would
        be read as the name of a field.
        """
        by_id = {record.message_id: record.to_document() for record in records}
        fields = ("status", "ambiguous", "reason", "due_at", "sent_at", "revision")
        updated = await self._collection.update_many(
            {"_id": {"$in": list(by_id)}, "status": SENDING.value, "claim.token": token},
            [
                {"$set": {"record": own_value(by_id)}},
                {
                    "$set": {
                        **{name: f"$record.{name}" for name in fields},
                        "attempts": {"$concatArrays": ["$attempts", ["$record.attempt"]]},
                        "updated_at": now,
                    }
                },
                {"$unset": ["record", "claim"]},
            ],
        )
        return int(updated.modified_count)

    # --- what several of these share ---------------------------------------------------------------------------------

    async def _undo(
        self,
        message_ids: Sequence[int],
        status: MessageStatus,
        *,
        token: str,
        due_at: datetime,
        reason: str | None,
        now: datetime,
    ) -> int:
        updated = await self._collection.update_many(
            {"_id": {"$in": list(message_ids)}, "status": SENDING.value, "claim.token": token},
            {
                "$set": {"status": status.value, "due_at": due_at, "reason": reason, "updated_at": now},
                "$inc": {"attempt": -1},
                "$unset": {"claim": ""},
            },
        )
        return int(updated.modified_count)

    async def _give_up(self, which: Document, status: MessageStatus, *, reason: str, now: datetime) -> None:
        await self._collection.update_many(
            which | {"status": {"$in": [one.value for one in sorted(UNSENT)]}},
            [{"$set": _given_up(status, reason, now)}],
        )


def _given_up(status: MessageStatus, reason: str, now: datetime) -> Document:
    """Fields of a message that ends unsent: nobody can say `cancelled` of what may have been accepted."""
    return {
        "status": {"$cond": ["$ambiguous", UNKNOWN.value, status.value]},
        "reason": {"$literal": reason},
        "due_at": None,
        "updated_at": now,
    }


def _only_duplicates(error: BulkWriteError) -> bool:
    """Whether every message was inserted, by a majority, but those of clients who have one."""
    details = error.details or {}
    problems: Collection[Document] = details.get("writeErrors") or ()
    return not details.get("writeConcernErrors") and all(one.get("code") == DUPLICATE_KEY for one in problems)
