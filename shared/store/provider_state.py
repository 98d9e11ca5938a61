"""What all senders have to know of the provider: until when it has asked to be left alone."""

from datetime import datetime

from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo.errors import DuplicateKeyError

from shared.store.connection import Document, at_the_edge

STATE_ID = "provider"


@at_the_edge
class ProviderState:
    """One document of the collection `state`."""

    def __init__(self, database: "AsyncIOMotorDatabase[Document]") -> None:
        self._state = database["state"]

    async def pause(self, until: datetime) -> None:
        """Have all senders start no call before an instant; an earlier one changes nothing."""
        try:
            await self._state.update_one({"_id": STATE_ID}, {"$max": {"paused_until": until}}, upsert=True)
        except DuplicateKeyError:  # another sender made the document at the same moment
            await self._state.update_one({"_id": STATE_ID}, {"$max": {"paused_until": until}})

    async def paused_until(self) -> datetime | None:
        """Until when the provider has asked to be left alone; None when it never has."""
        document = await self._state.find_one({"_id": STATE_ID})
        return document["paused_until"] if document else None
