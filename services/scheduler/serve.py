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
from services.scheduler.release import mend, release
from services.scheduler.replay import replay
from services.scheduler.self_pause import pause_failing
from services.scheduler.sweep import settle, sweep
from services.scheduler.tools import LEASE_S, Tools
from shared.domain.mailing import CANCELLED, PAUSED, RUNNING
from shared.domain.message import QUEUED, RETRYING, SENDING, WAITING
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.store.mailing_work import LeasedMailing

BROKER_AWAY_WAIT = timedelta(seconds=1)
FAILED_WAIT = timedelta(seconds=30)
IN_FLIGHT_WAIT = timedelta(milliseconds=300)
LEAST_WAIT = timedelta(milliseconds=20)
LOOK_SHARE = (
    10  # a look that finds nothing to do takes a tenth of the time at most: not every store answers it by an index
)
LONGEST_LOOK_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=1)  # whatever was not foreseen is found by then

log = structlog.get_logger()


async def serve_next(tools: Tools, *, owner: str) -> bool:
    """Serve one mailing; False when none has anything to do.

    Raises:
        StoreUnavailable: this scheduler's next lease of the mailing takes the place of the one it could not give back.
    """
    leased = await tools.store.mailing_work.lease_next(tools.clock.now(), owner=owner, lease_s=LEASE_S)
    if leased is None:
        return False
    with structlog.contextvars.bound_contextvars(mailing_id=leased.mailing.id, request_id=leased.mailing.request_id):
        await _serve(leased, tools)
    return True


async def _serve(leased: LeasedMailing, tools: Tools) -> None:
    """Do a chunk and give the lease back."""
    try:
        chunk = await choose(leased, tools)
    except StoreUnavailable:
        raise
    except BrokerUnavailable as error:
        log.warning("chunk.put_off", error=str(error))
        chunk = Chunk("broker_away", 0, look_at=tools.clock.now() + BROKER_AWAY_WAIT)
    except Exception:
        # A mistake of ours, or a document that somebody else wrote: it costs this mailing time, and the others nothing.
        log.exception("chunk.failed")
        chunk = Chunk("failed", 0, look_at=tools.clock.now() + FAILED_WAIT)
    if not chunk.released:
        kept = await tools.store.mailing_work.release(leased, look_at=chunk.look_at, **chunk.changes)
        if not kept:
            log.warning("lease.lost", chunk=chunk.kind)
    if chunk.handled:
        log.info("chunk.done", chunk=chunk.kind, handled=chunk.handled)


async def choose(leased: LeasedMailing, tools: Tools) -> Chunk:
    """Do the first thing that applies."""
    mailing = leased.mailing
    if mailing.status is CANCELLED:
        return await sweep(leased, tools) or await settle(leased, tools)
    if leased.window_changed:
        now = tools.clock.now()
        await tools.store.message_statuses.expect_window_change(mailing.id, now)
        await tools.store.mailing_work.finish_window_change(leased, look_at=now)
        return Chunk("window_changed", 0, look_at=now, released=True)
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
    """Running, or paused: then only what was under way is looked after.

    What is due comes before new clients: a fan-out may take hours, and a window that has opened closes again. It
    cannot keep them waiting for ever, since what is looked after is due again a good while later.
    """
    running = leased.mailing.status is RUNNING
    limit = min(allowed.commands, tools.limits.chunk_clients)
    mends = min(allowed.mends, tools.limits.chunk_clients)
    unplanned = leased.fan_out is not None and not leased.fan_out.done
    chunk = await pause_failing(leased, tools) if running else None
    if running and limit and leased.replays and chunk is None:
        chunk = await replay(leased, tools, limit=limit)
    if running and limit and chunk is None:
        chunk = await release(leased, tools, limit=limit)
    if mends and chunk is None:
        chunk = await mend(leased, tools, limit=mends)
    if running and limit and unplanned and chunk is None:
        chunk = await fan_out(leased, tools, limit=limit)
    if chunk is not None:
        return chunk
    if running and (unplanned or leased.replays):
        return Chunk("held_back", 0, look_at=allowed.again_at)
    chunk = await complete(leased, tools) if running else None
    return chunk or await _rest(leased, tools, not_before=None if limit else allowed.again_at)


async def _rest(leased: LeasedMailing, tools: Tools, *, not_before: datetime | None = None) -> Chunk:
    """Nothing to do now: when to look again. What was open a moment ago may be final by now, so completion is near."""
    began_s = tools.clock.monotonic_s()
    messages, mailing = tools.store.messages, leased.mailing
    on_the_way = await messages.next_due_at(mailing.id, {QUEUED, SENDING})
    retrying = await messages.next_due_at(mailing.id, {RETRYING})
    waiting = await messages.next_due_at(mailing.id, {WAITING})
    now = tools.clock.now()
    looked_for = timedelta(seconds=tools.clock.monotonic_s() - began_s)
    least_wait = max(LEAST_WAIT, min(LOOK_SHARE * looked_for, LONGEST_LOOK_WAIT))
    if on_the_way is not None:
        look_at = now + IN_FLIGHT_WAIT
    elif retrying is not None:
        look_at = min(retrying, now + tools.limits.tick)
    elif mailing.status is PAUSED and not leased.is_closed:
        look_at = mailing.end_at or now + tools.limits.tick
    else:
        look_at = waiting or now + IN_FLIGHT_WAIT
    if mailing.end_at is not None and not leased.is_closed:
        look_at = min(look_at, mailing.end_at)
    look_at = min(look_at, now + LONGEST_WAIT)
    return Chunk("rest", 0, look_at=max(look_at, not_before or now, now + least_wait))
