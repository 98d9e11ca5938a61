"""Events: what happened to mailings, published in the background.

Events only wake the scheduler, which looks into the store by itself every second. So a broker that is away neither
fails nor delays a request: what does not fit into a bounded queue, or is not confirmed after a few tries, is dropped.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from services.api.access import current_request_id
from shared.broker import publications
from shared.broker.publisher import Publisher
from shared.contracts.events import MailingEvent, MailingEventKind
from shared.errors import BrokerUnavailable

MAX_WAITING = 1_000
BATCH = 100
TRIES = 3
CONFIRMED_WITHIN_S = 10.0
DRAIN_S = 2.0

log = structlog.get_logger()


class Events:
    """A bounded queue of events on their way to the broker. `async with Events(...)` publishes in between."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: asyncio.Queue[MailingEvent] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Events":
        self._task = asyncio.create_task(self._publish_for_ever(), name="events")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Publish what waits, for at most `DRAIN_S`, then stop."""
        if self._task is None:
            return
        await asyncio.wait([asyncio.create_task(self._waiting.join())], timeout=DRAIN_S)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if not self._waiting.empty():
            log.warning("events.dropped", count=self._waiting.qsize(), why="stopping")

    def happened(self, kind: MailingEventKind, mailing_id: int, at: datetime) -> None:
        """Publish soon, without waiting, that something happened to a mailing."""
        event = MailingEvent(kind=kind, mailing_id=mailing_id, at=at, request_id=current_request_id())
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("events.dropped", count=1, mailing_id=mailing_id, kind=kind, why="too many are waiting")

    async def _publish_for_ever(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                await self._publish(batch)
            finally:
                for _ in batch:
                    self._waiting.task_done()

    async def _publish(self, batch: Sequence[MailingEvent]) -> None:
        events = [publications.event(one) for one in batch]
        error: BrokerUnavailable | None = None
        for _ in range(TRIES):
            try:
                await self._publisher.publish_all(events, within_s=CONFIRMED_WITHIN_S)
            except BrokerUnavailable as unavailable:
                error = unavailable
            else:
                return
        for event in batch:
            log.warning(
                "events.dropped",
                count=1,
                mailing_id=event.mailing_id,
                kind=event.kind,
                request_id=event.request_id,
                why=str(error),
            )
