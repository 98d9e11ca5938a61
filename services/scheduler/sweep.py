"""Sweep: what is unsent in a mailing that is over expires or is cancelled, chunk by chunk, until nothing is open.

Repeated for as long as something is open: a sender may hand a message back, or a stalled scheduler may still plan
one, after the first sweep.
"""

from datetime import timedelta

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.commands import dead_letter
from services.scheduler.tools import PUBLISH_S, Tools
from shared.domain.mailing import CANCELLED as MAILING_CANCELLED
from shared.domain.message import CANCELLED, DEAD, EXPIRED
from shared.store.mailing_work import LeasedMailing

STILL_SENDING_WAIT = timedelta(milliseconds=500)

log = structlog.get_logger()


async def sweep(leased: LeasedMailing, tools: Tools) -> Chunk | None:
    """End the next unsent messages; None when there is none. An ambiguous one ends unknown, with its dead letter."""
    now = tools.clock.now()
    unsent = await tools.store.messages.unsent(leased.mailing.id, limit=tools.limits.chunk_clients)
    if not unsent:
        return None
    cancelled = leased.mailing.status is MAILING_CANCELLED
    status, reason = (CANCELLED, "mailing_cancelled") if cancelled else (EXPIRED, "mailing_ended")
    letters = [dead_letter(one, reason=reason) for one in unsent if one.ambiguous]
    if letters:  # if this scheduler dies in between, a walk adds what is missing
        await tools.store.dead_letter_state.doubt(now, why="sweep")
    await tools.store.message_statuses.give_up([one.id for one in unsent], status, reason=reason, now=now)
    await tools.publisher.publish_all(letters, within_s=PUBLISH_S)
    return Chunk("sweep", len(unsent), look_at=now)


async def settle(leased: LeasedMailing, tools: Tools) -> Chunk:
    """What remains of a cancelled mailing that has been swept: freeze its statistics, or remove it if deleted."""
    now = tools.clock.now()
    if await tools.store.messages.has_open(leased.mailing.id):
        return Chunk("settle", 0, look_at=now + STILL_SENDING_WAIT)
    if not leased.deleted:
        statistics = await tools.store.statistics.whole(leased.mailing.id)
        log.info("mailing.settled", mailing_id=leased.mailing.id, counts=statistics["counts"])
        return Chunk("settle", 0, look_at=None, changes={"statistics": statistics})
    if await tools.store.messages.count(leased.mailing.id, DEAD):
        await tools.store.dead_letter_state.doubt(now, why="removal")
    removed = await tools.store.message_statuses.remove(leased.mailing.id, limit=tools.limits.chunk_clients)
    if removed:
        return Chunk("remove", removed, look_at=now)
    await tools.store.mailing_work.remove(leased)
    log.info("mailing.removed", mailing_id=leased.mailing.id)
    return Chunk("remove", 0, look_at=None, released=True)
