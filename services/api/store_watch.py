"""Store watch: prepares the store as soon as it can be reached, and knows whether it answers."""

import asyncio

from services.api.brief_cache import BriefCache
from shared.errors import StoreUnavailable
from shared.runtime.health import Health
from shared.store.store import Store

NAME = "store"
PING_WITHIN_S = 1.0


class StoreWatch:
    """Reports the store's state to the health.

    Attributes:
        prepared: whether the indexes are there. Before that nothing is read or written: a phone would not be unique.
    """

    def __init__(self, store: Store, health: Health) -> None:
        self.prepared = False
        self._store = store
        self._report = health.reporter(NAME)
        self._pings: BriefCache[str, None] = BriefCache()

    async def prepare(self) -> None:
        """Create the indexes, waiting for the store as long as it takes."""
        await self._store.prepare(self._report)
        self.prepared = True

    async def look(self) -> None:
        """Look after the store, at most once a second, for at most a second, and report its state."""
        if self.prepared:  # until then, whoever prepares it reports
            await self._pings.get(NAME, self._ping)

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(PING_WITHIN_S):
                await self._store.ping()
        except TimeoutError:
            self._report(f"away: no answer within {PING_WITHIN_S:g} s")
        except StoreUnavailable as error:
            self._report(f"away: {error}")
        else:
            self._report("up")
