"""Moments: how soon things happen. Start of a mailing, pause, and an urgent mailing beside a huge one."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.figures import Figure, percentile
from tests.bench.places import Places
from tests.bench.running import Running, running, wall_clock_ahead_s
from tests.support.eventually import eventually

SERVICES = ("api", "scheduler-1", "sender-1")
URGENT = 100
URGENT_TAG = "urgent"
FIRST_URGENT_ID = 1_000_000
STARTS = 20
START_APART_S = 0.5
PAUSES = 5
SLOW_MS = 50.0


async def start_delay(places: Places) -> dict[str, Figure]:
    """First call at the provider minus `start_at`, over 20 mailings of one client each."""
    async with running(places, *SERVICES) as system:
        await places.forget_calls()
        first_at = datetime.now(UTC) + timedelta(seconds=3)
        planned: list[tuple[dict[str, Any], datetime]] = []
        for at in range(STARTS):
            await system.planting.clients(1, tag=f"start-{at}", first_id=at + 1)
            start_at = first_at + at * timedelta(seconds=START_APART_S)
            planned.append(
                (
                    await system.make_mailing(tag=f"start-{at}", start_at=start_at.isoformat(timespec="milliseconds")),
                    start_at,
                )
            )
        await places.until_called(STARTS)
        ahead_s = wall_clock_ahead_s()
        delays_ms = [
            (await first_call_s(system, mailing) + ahead_s - start_at.timestamp()) * 1_000
            for mailing, start_at in planned
        ]
        return {
            "start delay, p50": Figure(percentile(delays_ms, 0.5), "ms"),
            "start delay, p99": Figure(percentile(delays_ms, 0.99), "ms"),
        }


async def pause(places: Places, *, count: int) -> Figure:
    """Last call at the provider minus the answer to the pause, the longest of five, an instant provider."""
    longest_s = 0.0
    async with running(places, *SERVICES, clients=count) as system:
        mailing = await system.make_mailing()
        for _ in range(PAUSES):
            await places.forget_calls()
            await places.until_called(200)
            await system.ask("POST", f"/mailings/{mailing['id']}/pause")
            answered_s = time.monotonic()
            last_s = await until_quiet(places)
            longest_s = max(longest_s, last_s - answered_s)
            await system.ask("POST", f"/mailings/{mailing['id']}/resume")
        await system.ask("POST", f"/mailings/{mailing['id']}/cancel")
        return Figure(longest_s, "s")


async def urgent(places: Places, *, beside: int, latency_ms: float = 0.0) -> dict[str, Figure]:
    """A mailing of 100: from its request to its last call, alone, and while a large one runs."""
    async with running(places, *SERVICES, clients=beside) as system:
        await system.planting.clients(URGENT, tag=URGENT_TAG, first_id=FIRST_URGENT_ID)
        await places.forget_calls(latency_ms=latency_ms)
        alone_s = await send_urgent(system)
        large = await system.make_mailing()
        await places.until_called(URGENT + 2_000)
        beside_s = await send_urgent(system)
        await system.ask("POST", f"/mailings/{large['id']}/cancel")
        told = f"provider of {latency_ms:.0f} ms"
        return {
            f"urgent {URGENT} alone, {told}": Figure(alone_s, "s"),
            f"urgent {URGENT} beside {beside}, {told}": Figure(beside_s, "s"),
        }


async def send_urgent(system: Running) -> float:
    """Seconds from the request to the last call of the urgent mailing."""
    asked_s = time.monotonic()
    mailing = await system.make_mailing(tag=URGENT_TAG)

    async def completed() -> bool:
        return str((await system.ask("GET", f"/mailings/{mailing['id']}"))["status"]) == "completed"

    await eventually(completed, "the urgent mailing", within_s=300)
    return max(await call_moments_s(system, mailing)) - asked_s


async def call_moments_s(system: Running, mailing: dict[str, Any]) -> list[float]:
    """When the calls of a mailing arrived, monotonic seconds."""
    page = await system.ask("GET", f"/mailings/{mailing['id']}/messages?limit=500")
    ids = ",".join(str(one["id"]) for one in page["items"])
    return [float(at) for at in (await system.places.provider.get(f"/calls/{ids}")).json()]


async def first_call_s(system: Running, mailing: dict[str, Any]) -> float:
    return min(await call_moments_s(system, mailing))


async def until_quiet(places: Places) -> float:
    """The moment of the last call, once none has come for two seconds."""
    seen = await places.calls()
    while True:
        await asyncio.sleep(2.0)
        now = await places.calls()
        if now["count"] == seen["count"]:
            return float(now["last_s"])
        seen = now
