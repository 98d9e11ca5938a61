"""Ledger and callers agree, whatever mix of faults was in force."""

import asyncio
from typing import Any

import aiohttp

from tests.unit.fake_provider.conftest import StartProvider
from tests.unit.fake_provider.running import PHONE, eventually, read_entries, read_summary, set_faults

CALLS = 600
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "slow", "probability": 0.1, "delay_s": 0.01, "delay_max_s": 0.05},
    {"kind": "slow", "probability": 0.05, "delay_s": 20},
    {"kind": "hang", "probability": 0.05, "accepts": 0.5},
    {"kind": "reset", "probability": 0.1},
    {"kind": "status", "probability": 0.1, "code": 503, "body_bytes": 200_000},
    {"kind": "status", "probability": 0.1, "code": 504, "accepts": 0.5},
    {"kind": "garbage", "probability": 0.1},
    {"kind": "redirect", "probability": 0.05},
    {"kind": "refusal", "probability": 0.05},
)


async def call(session: aiohttp.ClientSession, message_id: int) -> tuple[int, int] | None:
    """What the caller saw: status and length of at most 64 KB of body; None for no answer within 3 s."""
    body = {"id": message_id, "phone": PHONE, "text": "Hello"}
    # Counted from the moment it is sent: waiting for a free connection is no part of it.
    timeout = aiohttp.ClientTimeout(total=None, sock_read=3)
    try:
        async with session.post(
            f"/v1/send/{message_id}", json=body, allow_redirects=False, timeout=timeout
        ) as response:
            length = len(await response.content.read(65_536))
            if not response.content.at_eof():
                response.close()
            return response.status, length
    except aiohttp.ClientError:
        return None


async def test_ledger_and_callers_agree(start: StartProvider) -> None:
    """Given all faults at once and callers who hang up, then each call is in the ledger with what its caller saw."""
    provider = await start()
    async with provider.connect() as session:
        await set_faults(session, *FAULTS, seed=11)
        seen = await asyncio.gather(*(call(session, message_id) for message_id in range(CALLS)))
        await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 0)
        entries = {entry["message_id"]: entry for entry in await read_entries(session, "?limit=10000")}
        summary = await read_summary(session)

    assert entries.keys() == set(range(CALLS))
    for message_id, observed in enumerate(seen):
        entry = entries[message_id]
        assert entry["status"] == (None if observed is None else observed[0]), (observed, entry)
        assert (entry["answered_at"] is None) == (entry["status"] is None)
        if entry["fault"] in (None, "slow"):
            assert entry["accepted"]
        if entry["fault"] in ("redirect", "refusal") or entry["status"] == 503:
            assert not entry["accepted"]

    accepted = sum(entry["accepted"] for entry in entries.values())
    assert (summary["calls"], summary["accepted"], summary["duplicates"]) == (CALLS, accepted, 0)
    assert sum(summary["by_status"].values()) == sum(summary["by_fault"].values()) == CALLS
    assert summary["by_fault"].keys() == {"none", *(fault["kind"] for fault in FAULTS)}

    # Nobody who hung up, and no fault, made it complain.
    assert await provider.end() == 0
    assert provider.process.stderr is not None
    assert await provider.process.stderr.read() == b""
