"""Loop: turn after turn while there is work; then sleep until an event, the next known moment, or the tick."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from services.scheduler.completion import reopen_ended_lately
from services.scheduler.dead_letters import LOOK_EVERY_S, DeadLetterWatch
from services.scheduler.serve import serve_next
from services.scheduler.start import close_due, start_due
from services.scheduler.tools import Tools
from shared.broker.gateway import Gateway
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.runtime.stopping import sleep_until_stopped

AWAY_WAIT_S = 1.0
FAILED_WAIT_S = 1.0
PAST_WAIT_S = 0.1  # something has become due, or free, since it was asked for
ENDED_LATELY_EVERY_S = 60.0
DECLARE_EVERY_S = 30.0

log = structlog.get_logger()


async def run_turns(
    tools: Tools, *, owner: str, woken: asyncio.Event, stop: asyncio.Event, report: Callable[[str], None]
) -> None:
    """Start, close and serve mailings until the stop; the chunk in hand is finished.

    Args:
        owner: name of this scheduler in its leases.
        woken: set by whoever knows of something to do.
        report: told how the store is.
    """
    while not stop.is_set():
        woken.clear()
        try:
            await close_due(tools)
            await start_due(tools)
            worked = await serve_next(tools, owner=owner)
            sleep_s = 0.0 if worked else await _sleep_s(tools)
            report("up")
        except StoreUnavailable as error:
            report(f"away: {error}")
            sleep_s = random.uniform(AWAY_WAIT_S / 2, AWAY_WAIT_S)
        except Exception:
            log.exception("turn.failed")
            sleep_s = FAILED_WAIT_S
        if sleep_s > 0:
            await _sleep(sleep_s, woken, stop)


async def _sleep_s(tools: Tools) -> float:
    """Until the next known moment, at most a tick. A mailing that is leased elsewhere is no reason to spin."""
    tick_s = tools.limits.tick.total_seconds()
    look_at = await tools.store.mailing_work.next_look_at()
    if look_at is None:
        return tick_s
    left_s = (look_at - tools.clock.now()).total_seconds()
    return min(tick_s, left_s if left_s > 0 else PAST_WAIT_S)


async def _sleep(seconds: float, woken: asyncio.Event, stop: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (woken, stop)]
    await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def watch_dead_letters(watch: DeadLetterWatch, stop: asyncio.Event) -> None:
    """Look at the dead letters every few seconds until the stop."""
    await _every(LOOK_EVERY_S, watch.look, stop)


async def watch_ended(tools: Tools, stop: asyncio.Event) -> None:
    """Look at mailings that ended lately once a minute until the stop."""
    await _every(ENDED_LATELY_EVERY_S, lambda: reopen_ended_lately(tools), stop)


async def watch_topology(gateway: Gateway, stop: asyncio.Event, *, every_s: float = DECLARE_EVERY_S) -> None:
    """Declare the topology every `every_s` seconds until the stop: a step of the ladder that was deleted nobody misses.

    Whoever publishes or consumes declares again what he misses at once, and does not wait for this.
    """
    await _every(every_s, gateway.declare_again, stop)


async def _every(seconds: float, act: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    while not await sleep_until_stopped(stop, random.uniform(seconds * 0.8, seconds * 1.2)):
        try:
            await act()
        except (StoreUnavailable, BrokerUnavailable) as error:
            log.warning("look.given_up", error=str(error))
        except Exception:
            log.exception("look.failed")
