"""Dead letters kept true: at rest `messages.dead` holds an entry for each failed or unknown message, and parked bodies.

Entries go stale (a replay, a deletion), come twice (a sender died between publish and ack) or go missing (a purge by
hand). When the depth of the queue and the store's count have differed for long, or there has been a doubt for as long,
one scheduler walks the queue (`walk.py`). Counts alone do not do: one double hides one that is missing.

A walk is not cheap (`walk.py` says what one costs), so the rest after it is four times as long as it took.
"""

from datetime import datetime, timedelta

import structlog

from services.scheduler.tools import LEASE_S, Tools
from services.scheduler.walk import DIED_JUST_NOW, Walk
from shared.broker.queues import QueueReader
from shared.broker.topology import DEAD_QUEUE
from shared.domain.message import DEAD
from shared.errors import BrokerUnavailable
from shared.store.dead_letter_state import DeadLetterLease

LOOK_EVERY_S = 5.0
REST_PER_WALK = 4.0  # so walks take at most a fifth of the time, and of the broker, however long the queue is

log = structlog.get_logger()


class DeadLetterWatch:
    """Looks at the dead letters, and walks them when they are not true, or may not be."""

    def __init__(self, tools: Tools, reader: QueueReader, *, differ_s: float) -> None:
        """`differ_s`: how long queue and store must have differed, or been in doubt, before a walk, seconds."""
        self._tools = tools
        self._state = tools.store.dead_letter_state
        self._reader = reader
        self._differ = timedelta(seconds=differ_s)

    async def look(self) -> None:
        """Look once, if no other scheduler does or has just done so.

        Raises:
            StoreUnavailable, BrokerUnavailable: the look or the walk is given up; the next begins anew.
        """
        now = self._tools.clock.now()
        lease = await self._state.lease(now, every_s=LOOK_EVERY_S, lease_s=LEASE_S)
        if lease is None:
            return
        try:
            true = not lease.in_doubt and await self._agree(lease)
        except BrokerUnavailable:
            # The queue may have been deleted by hand, and is being declared again: the next look need not wait.
            await self._state.release(lease.token, now=now, differs_since=lease.differs_since)
            raise
        since = lease.differs_since or now
        if true:
            await self._state.release(lease.token, now=now, differs_since=None)
        elif now - since < self._differ or lease.differs_since is None or _rests(lease, now):
            await self._state.release(lease.token, now=now, differs_since=since)
        else:
            await self._walk(lease, now)

    async def _agree(self, lease: DeadLetterLease) -> bool:
        depth = await self._reader.depth(DEAD_QUEUE)
        store = self._tools.store
        frozen = await store.statistics.totals(())
        deserved = sum(frozen[status.value] for status in DEAD)
        for mailing in await store.mailings.counted_now(without=()):
            deserved += await store.messages.count(mailing.id, DEAD)
        return depth.ready == lease.parked + deserved

    async def _walk(self, lease: DeadLetterLease, began_at: datetime) -> None:
        """Walk, and note what it came to. One that does not end leaves its own doubt, and is begun anew."""
        clock = self._tools.clock
        began_at_s = clock.monotonic_s()
        # Younger doubts may be of a status that is about to change, or of an entry that a walk leaves to its sender.
        settled_before = began_at - max(self._differ, DIED_JUST_NOW)
        doubts_cleared = await self._state.begin_walk(lease.token, settled_before=settled_before)
        if doubts_cleared is None:
            return
        walked = None
        try:
            walked = await Walk(self._tools, self._reader, lease.token).run()
        except BrokerUnavailable as error:
            log.warning("dead_letters.not_walked", error=str(error))
        took_s = clock.monotonic_s() - began_at_s
        now = clock.now()
        rest_until = now + timedelta(seconds=REST_PER_WALK * took_s)
        if walked is None:
            await self._state.release(
                lease.token, now=now, differs_since=lease.differs_since or began_at, rest_until=rest_until
            )
            return
        await self._state.release(
            lease.token,
            now=now,
            differs_since=None,
            parked=walked.parked,
            doubts_cleared=doubts_cleared,
            rest_until=rest_until,
        )
        log.info(
            "dead_letters.walked",
            parked=walked.parked,
            dropped=walked.dropped,
            added=walked.added,
            doubted=lease.in_doubt,
            took_ms=round(took_s * 1_000),
        )


def _rests(lease: DeadLetterLease, now: datetime) -> bool:
    return lease.rest_until is not None and now < lease.rest_until
