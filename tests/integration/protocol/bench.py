"""A bench: one store and one event loop for many worlds, one after the other, and what the services log meanwhile."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pymongo
import structlog
from pymongo.database import Database

from shared.store import connection
from shared.store.store import Store
from tests.integration.protocol.process import Process
from tests.integration.protocol.world import Conditions, World


class Bench:
    """Runs worlds."""

    def __init__(self, store: Store, past: Database[dict[str, Any]], runner: asyncio.Runner) -> None:
        """`past`: the store's database itself."""
        self._store = store
        self._past = past
        self.contained: list[str] = []  # unexpected errors, which the product logs and lives on with
        self._runner = runner

    def world(self, conditions: Conditions, plant: Callable[[Process], None]) -> World:
        """A world that is not begun yet, its store empty. One at a time: they share the database."""
        self.contained.clear()
        return World(self._store, self._past, conditions, plant)

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def end_tasks(self) -> None:
        """End what the processes of a world still wait for."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def bench(mongo_url: str, database: str) -> Iterator[Bench]:
    """A bench whose worlds never wait for time to pass, and whose services log to it alone."""
    processors = structlog.get_config()["processors"]
    before = processors.copy()
    backoff = connection.random
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        store = Store(mongo_url, database)
        past = pymongo.MongoClient[dict[str, Any]](mongo_url, tz_aware=True)
        made = Bench(store, past[database], runner)

        def hear(_: Any, __: str, event: Any) -> Any:
            if event.get("exc_info"):
                made.contained.append(f"{event['event']}: {traceback.format_exc()}")
            raise structlog.DropEvent

        processors[:] = [hear]
        structlog.configure(processors=processors)
        connection.random = SimpleNamespace(uniform=lambda *_: 0.0)  # type: ignore[assignment]  # no waiting between tries
        try:
            runner.run(store.prepare(lambda _: None))
            yield made
        finally:
            connection.random = backoff
            processors[:] = before
            structlog.configure(processors=processors)
            store.close()
            past.close()
