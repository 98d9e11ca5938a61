"""A fake provider as a real process, sound and empty at the beginning of each test."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from tests.unit.fake_provider.running import RunningProvider, eventually, read_summary, set_faults, start_provider

StartProvider = Callable[..., Awaitable[RunningProvider]]


@pytest.fixture
async def start() -> AsyncIterator[StartProvider]:
    """Starts processes with arguments of the test's own; none outlives the test."""
    started: list[RunningProvider] = []

    async def start_and_keep(*arguments: str) -> RunningProvider:
        started.append(await start_provider(*arguments))
        return started[-1]

    yield start_and_keep
    for running in started:
        await running.end(signal.SIGKILL)


@pytest.fixture(scope="session")
async def shared_process() -> AsyncIterator[RunningProvider]:
    running = await start_provider()
    yield running
    await running.end()


@pytest.fixture
async def provider(shared_process: RunningProvider) -> RunningProvider:
    """The process that the tests of this folder share; for those that only call it."""
    async with shared_process.connect() as session:
        await set_faults(session)
        # Calls that an earlier test left behind are noticed within half a second.
        await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 0)
        await (await session.delete("/ledger")).read()
    return shared_process


@pytest.fixture
async def session(provider: RunningProvider) -> AsyncIterator[aiohttp.ClientSession]:
    async with provider.connect() as session:
        yield session
