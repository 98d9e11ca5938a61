"""Dead letters kept true: at rest `messages.dead` holds an entry for each failed or unknown message, and parked bodies.

Entries go stale (a replay, a deletion), come twice (a sender died between publish and ack) or go missing (a purge by
hand). When the depth of the queue and the store's count have differed for long, one scheduler walks the queue once:
an entry that is deserved goes to the end of the queue, any other is dropped, and what is missing is added. Memory is
bounded by a batch. A crash loses no entry: each is published anew before the old one is acked.
"""

from datetime import datetime, timedelta

import structlog

from services.scheduler.commands import dead_letter
from services.scheduler.tools import LEASE_S, PUBLISH_S, Tools
from shared.broker.delivery import Delivery
from shared.broker.publisher import Publication
from shared.broker.queues import MOST_TAKEN, QueueReader
from shared.broker.topology import DEAD_QUEUE, ExchangeName
from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import (
    CLIENT_HEADER,
    DEAD_ROUTING_KEY,
    MAILING_HEADER,
    PARKED_HEADER,
    REASON_HEADER,
)
from shared.contracts.version import Unparseable
from shared.domain.message import DEAD
from shared.store.dead_letter_state import DeadLetterLease

LOOK_EVERY_S = 5.0
BATCH = 100
BATCH_BYTES = 8_000_000  # parked bodies may be of any size
DIED_JUST_NOW = timedelta(seconds=10)  # whose sender may be about to publish the entry
WALK_HEADER = "x-mailrun-walk"  # of an entry that a walk has put at the end, and must not take for a double
OUR_HEADERS = frozenset({REASON_HEADER, PARKED_HEADER, MAILING_HEADER, CLIENT_HEADER})

log = structlog.get_logger()


class DeadLetterWatch:
    """Looks at the dead letters, and walks them when they are not true."""

    def __init__(self, tools: Tools, reader: QueueReader, *, differ_s: float) -> None:
        """`differ_s`: how long queue and store must have differed before a walk, seconds."""
        self._tools = tools
        self._reader = reader
        self._differ = timedelta(seconds=differ_s)

    async def look(self) -> None:
        """Look once, if no other scheduler does or has just done so.

        Raises:
            StoreUnavailable, BrokerUnavailable: the look or the walk is given up; the next begins anew.
        """
        now = self._tools.clock.now()
        state = self._tools.store.dead_letter_state
        lease = await state.lease(now, every_s=LOOK_EVERY_S, lease_s=LEASE_S)
        if lease is None:
            return
        if await self._agree(lease):
            await state.release(lease.token, now=now, differs_since=None)
        elif lease.differs_since is None or now - lease.differs_since < self._differ:
            await state.release(lease.token, now=now, differs_since=lease.differs_since or now)
        else:
            await self._walk(lease)

    async def _agree(self, lease: DeadLetterLease) -> bool:
        depth = await self._reader.depth(DEAD_QUEUE)
        store = self._tools.store
        frozen = await store.statistics.totals(())
        deserved = sum(frozen[status.value] for status in DEAD)
        for mailing in await store.mailings.counted_now(without=()):
            deserved += await store.messages.count(mailing.id, DEAD)
        return depth.ready == lease.parked + deserved

    async def _walk(self, lease: DeadLetterLease) -> None:
        began_at = self._tools.clock.now()
        remaining = (await self._reader.depth(DEAD_QUEUE)).ready
        parked = dropped = 0
        try:
            while remaining > 0 and await self._still_ours(lease):
                taken = await self._take(min(BATCH, MOST_TAKEN, remaining))
                batch = [one for one in taken if one.headers.get(WALK_HEADER) != lease.token]
                remaining -= len(batch)
                if not batch:
                    break  # only what this walk itself has put there
                kept = await self._keep(batch, lease.token)
                parked += sum(command_of(one) is None for one in kept)
                dropped += len(batch) - len(kept)
        finally:
            await self._reader.close()  # what was taken and not acked returns to the queue
        if remaining > 0:
            # Somebody else holds entries, or has the lease now: what was not seen must not be taken for missing.
            log.warning("dead_letters.not_walked", remaining=remaining)
            await self._release(lease, differs_since=lease.differs_since)
            return
        added = await self._add_all_missing(lease, began_at)
        await self._release(lease, differs_since=None, parked=parked)
        log.info("dead_letters.walked", parked=parked, dropped=dropped, added=added)

    async def _release(
        self, lease: DeadLetterLease, *, differs_since: datetime | None, parked: int | None = None
    ) -> None:
        now = self._tools.clock.now()
        await self._tools.store.dead_letter_state.release(
            lease.token, now=now, differs_since=differs_since, parked=parked
        )

    async def _take(self, count: int) -> list[Delivery]:
        """The next entries, those left out that are back in the queue because the channel was lost meanwhile."""
        batch: list[Delivery] = []
        room_bytes = BATCH_BYTES
        while len(batch) < count and room_bytes > 0:
            taken = await self._reader.take(DEAD_QUEUE)
            if taken is None:
                break
            batch.append(taken)
            room_bytes -= len(taken.body)
        return [one for one in batch if one.acks.is_open]

    async def _keep(self, batch: list[Delivery], walk: str) -> list[Delivery]:
        """Publish the deserved entries of a batch anew, then ack all of it; those that were kept."""
        message_ids = {command.message_id for one in batch if (command := command_of(one)) is not None}
        deserving = await self._tools.store.dead_letter_state.mark(message_ids, walk=walk)
        kept: list[Delivery] = []
        for one in batch:
            command = command_of(one)
            if command is None or command.message_id in deserving:
                kept.append(one)
                deserving.discard(command.message_id if command else 0)
        await self._tools.publisher.publish_all([_again(one, walk) for one in kept], within_s=PUBLISH_S)
        for one in batch:
            one.settle()
        await self._reader.ack()
        return kept

    async def _add_all_missing(self, lease: DeadLetterLease, began_at: datetime) -> int:
        added = from_id = 0
        while page := await self._tools.store.mailings.ids_with_dead_letters(from_id=from_id, limit=BATCH):
            for mailing_id in page:
                added += await self._add_missing(mailing_id, lease, began_at)
            from_id = page[-1] + 1
        return added

    async def _add_missing(self, mailing_id: int, lease: DeadLetterLease, began_at: datetime) -> int:
        added = 0
        while await self._still_ours(lease):
            missing = await self._tools.store.dead_letter_state.unmarked(
                mailing_id, walk=lease.token, changed_before=began_at - DIED_JUST_NOW, limit=BATCH
            )
            if not missing:
                break
            letters = [dead_letter(one, reason=one.reason or "unknown") for one in missing]
            await self._tools.publisher.publish_all(letters, within_s=PUBLISH_S)
            await self._tools.store.dead_letter_state.mark({one.id for one in missing}, walk=lease.token)
            added += len(missing)
        return added

    async def _still_ours(self, lease: DeadLetterLease) -> bool:
        until = self._tools.clock.now() + timedelta(seconds=LEASE_S)
        return await self._tools.store.dead_letter_state.prolong(lease.token, until=until)


def command_of(entry: Delivery) -> SendCommand | None:
    """The command in an entry; None for a parked body."""
    if entry.headers.get(PARKED_HEADER):
        return None
    try:
        return SendCommand.from_body(entry.body)
    except Unparseable:
        return None


def _again(entry: Delivery, walk: str) -> Publication:
    """The entry as it came, without what the broker has written into it (`x-death` and the like)."""
    headers = {name: value for name, value in entry.headers.items() if not name.startswith("x-") or name in OUR_HEADERS}
    plain = {name: value for name, value in headers.items() if isinstance(value, str | int | bool)}
    return Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, entry.body, plain | {WALK_HEADER: walk})
