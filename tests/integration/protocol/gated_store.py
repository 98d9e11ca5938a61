"""The real store, as a process sees it through its gates."""

from typing import Any

from shared.store.store import Store
from tests.integration.protocol.process import Process

AT_ONCE = frozenset(
    {
        "clients.greatest_id",
        "dead_letter_state.doubt",
        "mailing_work.close_due",
        "mailing_work.due_to_start",
        "mailings.counted_now",
        "mailings.ids_with_dead_letters",
        "messages.count",
        "messages.next_due_at",
        "outcomes.recent",
        "provider_state.paused_until",
        "sequences.reserve",
        "statistics.totals",
        "statistics.whole",
    }
)
"""Acts that have no moment of their own worth choosing: most are reads that only decide when to look again."""


class GatedStore:
    """Has the collections of a store, each behind the gates of one process."""

    def __init__(self, store: Store, process: Process) -> None:
        for name in ("clients", "mailings", "mailing_work", "messages", "message_statuses", "sequences"):
            setattr(self, name, GatedCollection(name, getattr(store, name), process))
        for name in ("dead_letter_state", "outcomes", "provider_state", "statistics"):
            setattr(self, name, GatedCollection(name, getattr(store, name), process))


class GatedCollection:
    """A collection of the store, each call of which waits at a gate."""

    def __init__(self, name: str, collection: object, process: Process) -> None:
        self._name = name
        self._collection = collection
        self._process = process

    def __getattr__(self, method: str) -> Any:
        name = f"{self._name}.{method}"
        real = getattr(self._collection, method)

        async def gated(*args: Any, **kwargs: Any) -> Any:
            async def perform() -> Any:
                override = self._process.overrides.get(name)
                return await (override(real, *args, **kwargs) if override else real(*args, **kwargs))

            return await self._process.gate(name, perform, kind="store", at_once=name in AT_ONCE)

        return gated
