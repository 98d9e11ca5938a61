"""Serve: lease the mailing that was served longest ago, do one chunk of what it needs, give the lease back.

Serving the longest-waiting first is what makes it fair: a mailing of five million delays one of a hundred by no more
than a chunk.
"""

from datetime import datetime, timedelta

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.completion import complete
from services.scheduler.fan_out import fan_out
from services.scheduler.pace import Allowance, allowance
from services.scheduler.release import MENDABLE, mend, release
from services.scheduler.replay import replay
from services.scheduler.sweep import settle, sweep
from services.scheduler.tools import LEASE_S, Tools
from shared.domain.mailing import CANCELLED, RUNNING
from shared.domain.message import QUEUED, SENDING, WAITING
from shared.errors import BrokerUnavailable
from shared.store.mailing_work import LeasedMailing

BROKER_AWAY_WAIT = timedelta(seconds=1)
IN_FLIGHT_WAIT = timedelta(milliseconds=300)

log = structlog.get_logger()


async def serve_next(tools: Tools, *, owner: str) -> bool:
    """Serve one mailing; False when none has anything to do.

    Raises:
        StoreUnavailable: the lease then runs out by itself.
    """
    leased = await tools.store.mailing_work.lease_next(tools.clock.now(), owner=owner, lease_s=LEASE_S)
    if leased is None:
        return False
    try:
        chunk = await choose(leased, tools)
    except BrokerUnavailable as error:
        log.warning("chunk.put_off", mailing_id=leased.mailing.id, error=str(error))
        chunk = Chunk("broker_away", 0, look_at=tools.clock.now() + BROKER_AWAY_WAIT)
    if not chunk.released:
        kept = await tools.store.mailing_work.release(leased, look_at=chunk.look_at, **chunk.changes)
        if not kept:
            log.warning("lease.lost", mailing_id=leased.mailing.id, chunk=chunk.kind)
    if chunk.handled:
        log.info("chunk.done", mailing_id=leased.mailing.id, chunk=chunk.kind, handled=chunk.handled)
    return True


async def choose(leased: LeasedMailing, tools: Tools) -> Chunk:
    """Do the first thing that applies."""
    mailing = leased.mailing
    if mailing.status is CANCELLED:
        return await sweep(leased, tools) or await settle(leased, tools)
    if leased.window_changed:
        await tools.store.message_statuses.expect_window_change(mailing.id, tools.clock.now())
        return Chunk("window_changed", 0, look_at=tools.clock.now(), changes={"window_changed": False})
    if leased.is_closed:
        return await _choose_closed(leased, tools)
    allowed = await allowance(leased, tools.store.messages, room=await tools.backpressure.room(), now=tools.clock.now())
    return await _choose_open(leased, tools, allowed)


async def _choose_closed(leased: LeasedMailing, tools: Tools) -> Chunk:
    """The end has passed: plan the rest as expired, expire what is unsent, look after lost claims, complete."""
    if leased.replays:
        return await replay(leased, tools, limit=0)
    if leased.fan_out is not None and not leased.fan_out.done:
        return await fan_out(leased, tools, limit=tools.limits.chunk_clients)
    chunk = await sweep(leased, tools)
    if chunk is None and await tools.backpressure.room():
        chunk = await mend(leased, tools, limit=tools.limits.chunk_clients)
    return chunk or await complete(leased, tools) or await _rest(leased, tools)


async def _choose_open(leased: LeasedMailing, tools: Tools, allowed: Allowance) -> Chunk:
    """Running, or paused: then only what was under way is looked after."""
    running = leased.mailing.status is RUNNING
    limit = min(allowed.commands, tools.limits.chunk_clients)
    unplanned = leased.fan_out is not None and not leased.fan_out.done
    if not limit and running and (leased.replays or unplanned):
        return Chunk("held_back", 0, look_at=allowed.again_at)
    chunk: Chunk | None = None
    if running and leased.replays:
        chunk = await replay(leased, tools, limit=limit)
    elif running and unplanned:
        chunk = await fan_out(leased, tools, limit=limit)
    if chunk is None and limit:
        chunk = await release(leased, tools, limit=limit) if running else None
        chunk = chunk or await mend(leased, tools, limit=limit)
    if chunk is None and running:
        chunk = await complete(leased, tools)
    return chunk or await _rest(leased, tools, not_before=None if limit else allowed.again_at)


async def _rest(leased: LeasedMailing, tools: Tools, *, not_before: datetime | None = None) -> Chunk:
    """Nothing to do now: when to look again."""
    now = tools.clock.now()
    looks = [leased.mailing.end_at] if not leased.is_closed else []
    if await tools.store.messages.next_due_at(leased.mailing.id, {QUEUED, SENDING}) is not None:
        looks.append(now + IN_FLIGHT_WAIT)
    elif (due_at := await tools.store.messages.next_due_at(leased.mailing.id, MENDABLE)) is not None:
        looks.append(min(due_at, now + tools.limits.tick))
    if leased.mailing.status is RUNNING:
        looks.append(await tools.store.messages.next_due_at(leased.mailing.id, {WAITING}))
    look_at = min((look for look in looks if look is not None), default=now + tools.limits.tick)
    return Chunk("rest", 0, look_at=max(look_at, not_before or now, now + timedelta(milliseconds=20)))
