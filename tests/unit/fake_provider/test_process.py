"""The process: start, stop, restart, and what it cannot do."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from tests.unit.fake_provider.conftest import StartProvider
from tests.unit.fake_provider.running import (
    RunningProvider,
    eventually,
    launch,
    read_entries,
    read_summary,
    send,
    set_faults,
)


async def fail(*arguments: str) -> tuple[int, str]:
    """Start one that cannot start: its exit status, and what it says."""
    process = await launch(*arguments)
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_it_stops_at_once_with_calls_hanging(start: StartProvider, how: signal.Signals) -> None:
    provider = await start()
    async with provider.connect() as session:
        await set_faults(session, {"kind": "hang"})
        hanging = [asyncio.create_task(send(session, number)) for number in range(20)]
        await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 20)
        started_s = time.monotonic()
        assert await provider.end(how) == 0
        assert time.monotonic() - started_s < 2
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)
    assert provider.process.stderr is not None
    assert await provider.process.stderr.read() == b""


async def test_it_stops_while_it_refuses_connections(start: StartProvider) -> None:
    provider = await start()
    async with provider.connect() as session:
        await set_faults(session, {"kind": "refuse", "duration_s": 600})
    assert await provider.end() == 0


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_keeps_the_ledger(start: StartProvider, tmp_path: Path, how: signal.Signals) -> None:
    """Given calls answered, slow and hanging, when the process is stopped or killed, then the next one knows them."""
    path = tmp_path / "ledger.jsonl"
    first = await start("--ledger", str(path))
    async with first.connect() as session:
        await send(session, 1)
        await set_faults(session, {"kind": "slow", "delay_s": 0.01})
        await send(session, 2)
        await set_faults(session, {"kind": "hang", "accepts": 1})
        hanging = asyncio.create_task(send(session, 3))
        await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 1)
        entries, summary = await read_entries(session), await read_summary(session)
        await first.end(how)
        await asyncio.gather(hanging, return_exceptions=True)

    second = await start("--ledger", str(path))
    assert second.started["calls_in_ledger"] == 3
    async with second.connect() as session:
        assert await read_entries(session) == entries
        assert await read_summary(session) == {**summary, "in_flight": 0}
        await send(session, 1)
        assert (await read_summary(session))["duplicates"] == 1
    await second.end()


async def test_every_answered_call_is_in_the_file_when_it_is_killed(start: StartProvider, tmp_path: Path) -> None:
    """Given callers at work, when the process is killed, then no call that was answered is missing."""
    path = tmp_path / "ledger.jsonl"
    first = await start("--ledger", str(path))
    answered: list[int] = []

    async def call_until_killed(start: int) -> None:
        for message_id in range(start, start + 100_000):
            if (await send(session, message_id)).status == 200:
                answered.append(message_id)

    async def count() -> int:
        return len(answered)

    async with first.connect() as session:
        callers = [asyncio.create_task(call_until_killed(caller * 100_000)) for caller in range(8)]
        await eventually(count, lambda n: n > 300)
        await first.end(signal.SIGKILL)
        await asyncio.gather(*callers, return_exceptions=True)

    second = await start("--ledger", str(path))
    async with second.connect() as session:
        entries = await read_entries(session, "?limit=10000")
    await second.end()
    written = [entry["message_id"] for entry in entries if entry["accepted"]]
    assert set(answered) <= set(written)
    assert len(written) == len(set(written)) <= len(answered) + 8


async def test_a_taken_port_is_said_in_one_line(provider: RunningProvider) -> None:
    status, said = await fail("--port", str(provider.port))
    assert status == 1
    assert said == f"fake provider: port {provider.port} on 127.0.0.1 is taken by another process\n"


async def test_a_port_lost_while_connections_were_refused_ends_it(start: StartProvider) -> None:
    """Given refuse, when another process listens on the port meanwhile, then it says so and ends with 1."""
    provider = await start()
    async with provider.connect() as session:
        await set_faults(session, {"kind": "refuse", "duration_s": 0.5})
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", provider.port))
        thief.listen()
        async with asyncio.timeout(10):
            assert await provider.process.wait() == 1
    assert provider.process.stderr is not None
    assert "taken meanwhile" in (await provider.process.stderr.read()).decode()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--port", "70000"), 2, "from 0 to 65535"),
        (("--port", "x"), 2, "invalid"),
        (("--port", "0", "--ledger-capacity", "0"), 2, "from 1 to"),
        (("--port", "0", "--host", "nowhere.invalid"), 1, "nowhere.invalid"),
        (("--port", "0", "--host", "192.0.2.1"), 1, "192.0.2.1"),
        (("--port", "0", "--ledger", "/nowhere/ledger"), 1, "No such file"),
    ],
)
async def test_what_it_cannot_do_it_says_in_one_line(arguments: tuple[str, ...], status: int, words: str) -> None:
    ended, said = await fail(*arguments)
    assert ended == status
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said


async def test_a_full_ledger_refuses_calls_and_counts_them(start: StartProvider) -> None:
    provider = await start("--ledger-capacity", "1")
    async with provider.connect() as session:
        assert [(await send(session, number)).status for number in (1, 2)] == [200, 503]
        summary = await read_summary(session)
        assert (summary["calls"], summary["unrecorded"]) == (1, 1)
    await provider.end()


def test_the_token_comes_from_the_environment(tmp_path: Path) -> None:
    """Given PROVIDER_TOKEN, then it is the default of --token; an empty one means none."""
    code = "from services.fake_provider.__main__ import read_options; print(read_options([]).token)"
    for given, expected in (("t0", "t0"), ("", "")):
        environment = {**os.environ, "PROVIDER_TOKEN": given}
        shown = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=True
        )
        assert shown.stdout.strip() == expected
