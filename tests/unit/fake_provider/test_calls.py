"""Sound calls and wrong ones, over HTTP: what is answered, and what the ledger says."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx
import pytest

from tests.unit.fake_provider.running import (
    PHONE,
    RunningProvider,
    eventually,
    read_entries,
    read_summary,
    send,
    set_faults,
    start_provider,
)


@pytest.fixture(scope="module")
async def guarded_provider() -> AsyncIterator[RunningProvider]:
    running = await start_provider("--token", "secret")
    yield running
    await running.end()


async def test_a_sound_call_is_accepted_and_written_down(session: aiohttp.ClientSession) -> None:
    before = datetime.now(UTC)
    response = await send(
        session, 41, text="Привет", headers={"X-Request-Id": "r-1", "User-Agent": "test", "Cookie": "a=b"}
    )
    assert (response.status, await response.json()) == (200, {"code": 0, "message": "OK"})

    (entry,) = await read_entries(session)
    arrived_at, answered_at = (datetime.fromisoformat(entry.pop(name)) for name in ("arrived_at", "answered_at"))
    assert before.replace(microsecond=0) <= arrived_at <= answered_at <= datetime.now(UTC)
    assert entry == {
        "number": 1,
        "message_id": 41,
        "phone": PHONE,
        "text": "Привет",
        "status": 200,
        "accepted": True,
        "fault": None,
        "detail": None,
        "headers": {"x-request-id": "r-1", "user-agent": "test"},
    }


async def test_httpx_is_served_as_well(provider: RunningProvider) -> None:
    async with httpx.AsyncClient(base_url=provider.address) as client:
        response = await client.post("/v1/send/1", json={"id": 1, "phone": PHONE, "text": "x"})
        assert response.json() == {"code": 0, "message": "OK"}


@pytest.mark.parametrize(
    ("path_id", "body", "detail"),
    [
        ("1", b"not json", "not JSON"),
        ("1", b"", "not JSON"),
        ("1", b'{"id": 2, "phone": 79001234567, "text": "x"}', "differs"),
        ("1", b'{"id": 1, "phone": "79001234567", "text": "x"}', "phone"),
        ("01", b'{"id": 1, "phone": 79001234567, "text": "x"}', "path"),
        ("9223372036854775808", b'{"id": 1, "phone": 79001234567, "text": "x"}', "path"),
        ("", b'{"id": 1, "phone": 79001234567, "text": "x"}', "path"),
    ],
)
async def test_a_malformed_call_is_answered_400_and_written_down(
    session: aiohttp.ClientSession, path_id: str, body: bytes, detail: str
) -> None:
    async with session.post(f"/v1/send/{path_id}", data=body) as response:
        document = await response.json()
        assert (response.status, document["code"]) == (400, 400)
        assert detail in document["message"]
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"]) == (400, False)
    assert detail in entry["detail"]


async def test_a_body_of_3_mb_is_too_large(session: aiohttp.ClientSession) -> None:
    assert (await send(session, 1, text="x" * 3_000_000)).status == 413
    (entry,) = await read_entries(session)
    assert (entry["message_id"], entry["status"], entry["accepted"]) == (1, 413, False)


async def test_a_body_that_lies_about_its_compression_is_malformed(session: aiohttp.ClientSession) -> None:
    body = json.dumps({"id": 1, "phone": PHONE, "text": "x"}).encode()
    async with session.post("/v1/send/1", data=body, headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 400


async def test_a_call_has_one_method(session: aiohttp.ClientSession) -> None:
    async with session.get("/v1/send/1") as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert await read_entries(session) == []


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "secret", "Bearer sécret", "Basic secret"])
async def test_a_wrong_token_is_answered_401_and_written_down(
    guarded_provider: RunningProvider, header: str | None
) -> None:
    async with guarded_provider.connect() as session:
        await (await session.delete("/ledger")).read()
        headers = {} if header is None else {"Authorization": header}
        response = await send(session, 7, headers=headers)
        assert (response.status, (await response.json())["code"]) == (401, 401)
        (entry,) = await read_entries(session)
        assert (entry["message_id"], entry["phone"], entry["status"]) == (7, PHONE, 401)
        assert entry["accepted"] is False
        assert "token" in entry["detail"]
        assert "secret" not in json.dumps(entry)


async def test_the_right_token_is_let_in(guarded_provider: RunningProvider) -> None:
    async with guarded_provider.connect() as session:
        assert (await send(session, 8, headers={"Authorization": "Bearer secret"})).status == 200


async def test_a_wrong_call_meets_no_fault(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "refusal", "times": 1})
    async with session.post("/v1/send/1", data=b"{}") as response:
        assert response.status == 400
    assert (await (await send(session, 1)).json())["code"] == 1


async def test_latency_delays_every_call(session: aiohttp.ClientSession) -> None:
    await set_faults(session, latency_s=0.2)
    started_s = time.monotonic()
    await send(session, 1)
    assert time.monotonic() - started_s >= 0.2


async def test_many_callers_at_once_are_all_counted(session: aiohttp.ClientSession) -> None:
    """Given 1,000 messages, each called twice, then the ledger holds 2,000 calls and 1,000 duplicates."""
    await asyncio.gather(*(send(session, message_id) for message_id in range(1_000) for _ in range(2)))
    summary = await read_summary(session)
    assert (summary["calls"], summary["accepted"], summary["duplicates"]) == (2_000, 2_000, 1_000)
    assert (summary["distinct_message_ids"], summary["distinct_accepted_message_ids"]) == (1_000, 1_000)
    assert summary["by_status"] == {"200": 2_000}


async def test_a_caller_who_leaves_in_the_middle_of_the_body_is_written_down_as_unanswered(
    provider: RunningProvider, session: aiohttp.ClientSession
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    writer.write(b'POST /v1/send/5 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"id": 5,')
    await writer.drain()
    writer.close()

    async def read() -> list[dict[str, Any]]:
        return await read_entries(session)

    (entry,) = await eventually(read, lambda entries: len(entries) == 1)
    assert (entry["message_id"], entry["status"], entry["accepted"]) == (5, None, False)
