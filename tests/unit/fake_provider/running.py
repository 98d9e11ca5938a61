"""Starting, calling and asking a fake provider."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PHONE = 79001234567
START_LIMIT_S = 30.0


@dataclass
class RunningProvider:
    """A process of the fake provider."""

    process: asyncio.subprocess.Process
    address: str
    started: dict[str, Any] = field(default_factory=dict)

    def connect(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.address, timeout=aiohttp.ClientTimeout(total=20))

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    async def end(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; its exit status."""
        if self.process.returncode is None:
            self.process.send_signal(with_signal)
        async with asyncio.timeout(10):
            return await self.process.wait()


async def launch(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.fake_provider",
        *arguments,
        stderr=asyncio.subprocess.PIPE,
    )


async def start_provider(*arguments: str) -> RunningProvider:
    """Start one on a free port, or where the arguments say."""
    process = await launch("--port", "0", *arguments)
    assert process.stderr is not None
    async with asyncio.timeout(START_LIMIT_S):
        line = await process.stderr.readline()
    started = json.loads(line)
    assert started["event"] == "fake_provider.started"
    return RunningProvider(process, started["address"], started)


async def send(
    session: aiohttp.ClientSession, message_id: int, *, phone: int = PHONE, text: str = "Hello", **arguments: Any
) -> aiohttp.ClientResponse:
    """One call as the sender makes it, its body read."""
    body = {"id": message_id, "phone": phone, "text": text}
    response = await session.post(f"/v1/send/{message_id}", json=body, allow_redirects=False, **arguments)
    await response.read()
    return response


async def set_faults(session: aiohttp.ClientSession, *faults: dict[str, Any], **document: Any) -> None:
    async with session.put("/faults", json={"faults": faults, **document}) as response:
        assert response.status == 200, await response.text()


async def read_entries(session: aiohttp.ClientSession, query: str = "") -> list[dict[str, Any]]:
    async with session.get(f"/ledger{query}") as response:
        assert response.status == 200, await response.text()
        entries: list[dict[str, Any]] = (await response.json())["entries"]
        return entries


async def read_summary(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.get("/ledger/summary") as response:
        summary: dict[str, Any] = await response.json()
        return summary


async def eventually(look: Callable[[], Awaitable[Any]], fact: Callable[[Any], bool], limit_s: float = 10.0) -> Any:
    """Look until what is seen is a fact."""
    until = time.monotonic() + limit_s
    while True:
        seen = await look()
        if fact(seen):
            return seen
        assert time.monotonic() < until, f"not within {limit_s} s; last seen: {seen}"
        await asyncio.sleep(0.02)
