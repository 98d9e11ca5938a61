"""Throughput: limits and Mailrun, in messages per second."""

import asyncio
import time

from tests.bench.figures import Figure
from tests.bench.places import Places, run_program
from tests.bench.planting import plant_commands
from tests.bench.running import running

MAILING = 1
SLOW_MS = 100.0
SLOW_CONCURRENCY = "16"  # 160 calls a second: what a sender is bound by is then the provider, not this machine


async def limit(places: Places, *names: str, count: int) -> dict[str, Figure]:
    """The limits of these names, one after the other, in a virtual host and a database of their own."""
    figures: dict[str, Figure] = {}
    with places.fresh() as (amqp_url, database):
        for name in names:
            await places.forget_calls()
            told = await run_program(
                "tests.bench.limits",
                *(name, str(count)),
                AMQP_URL=amqp_url,
                MONGO_URL=places.mongo_url,
                MONGO_DATABASE=database,
                PROVIDER_URL=places.provider_url,
            )
            cpu_ms = told["cpu_s"] * 1_000 / count
            figures[name] = Figure(count / told["seconds"], cpu_ms={"process": cpu_ms})
    return figures


async def bare_pipeline(places: Places, *, count: int) -> Figure:
    """Consume -> POST -> ack by `multiple`; no store, one process."""
    return (await limit(places, "publish", "pipeline", count=count))["pipeline"]


async def sender(places: Places, *, count: int) -> Figure:
    """One sender, everything on, from the first call to the last."""
    async with running(places, clients=count) as system:
        await system.planting.messages(MAILING, count)
        await plant_commands(system.environment["AMQP_URL"], MAILING, count)
        await places.forget_calls()
        await system.start("sender-1")
        system.begin_cpu()
        calls = await places.until_called(count)
        await system.until_sent(count)
        return Figure(rate(calls, count), cpu_ms=system.cpu_ms_per(count))


async def fan_out(places: Places, *, count: int) -> Figure:
    """One scheduler, from the first command to the last; a process that only consumes takes the senders' place."""
    async with running(places, "api", clients=count) as system:
        draining = asyncio.create_task(
            run_program("tests.bench.drain", str(count), AMQP_URL=system.environment["AMQP_URL"])
        )
        await system.start("scheduler-1")
        system.begin_cpu()
        await system.make_mailing()
        drained = await draining
        return Figure(count / drained["seconds"], cpu_ms=system.cpu_ms_per(count))


async def end_to_end(places: Places, *, count: int, senders: int = 1, latency_ms: float = 0.0) -> Figure:
    """From the request that makes the mailing to the last call: API, one scheduler, the senders."""
    settings = {"PROVIDER_CONCURRENCY": SLOW_CONCURRENCY} if latency_ms else {}
    names = ["api", "scheduler-1", *(f"sender-{at + 1}" for at in range(senders))]
    async with running(places, *names, clients=count, **settings) as system:
        await places.forget_calls(latency_ms=latency_ms)
        system.begin_cpu()
        asked_at_s = time.monotonic()
        await system.make_mailing()
        calls = await places.until_called(count)
        await system.until_sent(count)
        return Figure(count / (calls["last_s"] - asked_at_s), cpu_ms=system.cpu_ms_per(count))


def rate(calls: dict[str, float], count: int) -> float:
    """Calls per second between the first and the last.

    Raises:
        AssertionError: some message was called twice, so that it is not this that was measured.
    """
    assert calls["count"] == calls["distinct"] == count, calls
    return (count - 1) / (calls["last_s"] - calls["first_s"])
