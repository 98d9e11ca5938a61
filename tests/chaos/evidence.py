"""Evidence: what store, broker and provider say of a run, read past the links, as the checker wants it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pymongo

from shared.broker.topology import DEAD_QUEUE
from shared.contracts.commands import SendCommand
from shared.contracts.version import Unparseable
from shared.domain.message import DEAD, OPEN, SENDING
from tests.chaos.operating import Kept, Operator
from tests.chaos.rig import Rig
from tests.support.facts import Call, Facts, MessageFacts

# The provider's timeout and the connect before it: by then a call has arrived or was given up.
IN_FLIGHT = timedelta(seconds=4)
TRACEBACK = re.compile(rb'"exception":')


class Evidence:
    """Reads what is left of a run. Bounded: a run has some hundred messages."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._gateway: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            rig.mongo_url, tz_aware=True, serverSelectionTimeoutMS=20_000
        )
        self._database = self._gateway[rig.database]

    def close(self) -> None:
        self._gateway.close()

    def mailings(self) -> dict[int, dict[str, Any]]:
        """The mailings in the store, by id."""
        return {one["_id"]: one for one in self._database["mailings"].find({}, {"revisions": 0})}

    def open_messages(self) -> dict[int, int]:
        """How many messages of each mailing are open."""
        query = {"status": {"$in": [status.value for status in OPEN]}}
        return dict(Counter(one["mailing_id"] for one in self._database["messages"].find(query, {"mailing_id": 1})))

    def changed_last(self) -> Any:
        """When a message was changed for the last time."""
        last = self._database["messages"].find_one({}, {"updated_at": 1}, sort=[("updated_at", -1)])
        return last and last["updated_at"]

    def completed_too_soon(self) -> list[int]:
        """Ids of mailings that are completed while messages of theirs are open."""
        completed = {one["_id"]: one["updated_at"] for one in self.mailings().values() if one["status"] == "completed"}
        open_messages = self.open_messages()
        now = self.mailings()  # one that runs again by now has been reopened, or is replayed
        return [
            mailing_id
            for mailing_id, changed_at in completed.items()
            if open_messages.get(mailing_id) and now.get(mailing_id, {}).get("updated_at") == changed_at
        ]

    def messages(self) -> list[dict[str, Any]]:
        return list(self._database["messages"].find({}))

    def claimed(self) -> set[int]:
        """Ids of the messages that a sender has claimed."""
        return {one["_id"] for one in self._database["messages"].find({"status": SENDING.value}, {"_id": 1})}

    def deserved_letters(self) -> set[int]:
        """Ids of the messages that are to have an entry among the dead letters."""
        query = {"status": {"$in": [status.value for status in DEAD]}}
        return {one["_id"] for one in self._database["messages"].find(query, {"_id": 1})}

    async def letters_are_exact(self) -> bool:
        """Whether the dead letters are what they should be: their number first, since reading them moves them."""
        deserved = self.deserved_letters()
        connection = await aio_pika.connect(self._rig.amqp_url)
        async with connection:
            channel = await connection.channel()
            declared = await channel.declare_queue(DEAD_QUEUE, passive=True)
            if declared.declaration_result.message_count != len(deserved):
                return False
        entries, parked = await self.dead_letters()
        return sorted(entries) == sorted(deserved) and not parked

    async def dead_letters(self) -> tuple[list[int], int]:
        """The message id of each entry of `messages.dead`, and how many carry none. They go back where they were."""
        entries: list[int] = []
        parked = 0
        connection = await aio_pika.connect(self._rig.amqp_url)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(DEAD_QUEUE, passive=True)
            while (message := await queue.get(fail=False)) is not None:
                try:
                    entries.append(SendCommand.from_body(message.body).message_id)
                except Unparseable:
                    parked += 1
        return entries, parked

    async def facts(self, operator: Operator) -> Facts:
        """All of it."""
        entries, parked = await self.dead_letters()
        return Facts(
            mailings=[kept.facts() for kept in operator.mailings],
            messages=[MessageFacts.from_document(one) for one in self.messages()],
            calls=await self.calls(operator.mailings),
            dead_letters=entries,
            parked=parked,
            left=operator.left,
            freezes=self._rig.freezes,
            in_flight=IN_FLIGHT,
        )

    async def calls(self, mailings: Sequence[Kept]) -> list[Call]:
        """Every call in the ledger; one with a text that no mailing ever had is none of ours."""
        texts = {change.value for kept in mailings for change in kept.texts}
        return [Call.from_ledger(entry) for entry in await self._rig.calls(texts)]


def told_in_logs(folder: Path) -> Mapping[str, int]:
    """Tracebacks in the logs, by service and event: not a broken promise, but worth a look."""
    found: Counter[str] = Counter()
    for log in sorted(folder.glob("*.log")):
        for line in log.read_bytes().splitlines():
            if TRACEBACK.search(line):
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                found[f"{log.stem.partition('-')[0]} {entry.get('event')}"] += 1
    return found
