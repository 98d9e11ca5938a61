"""Each fault as a real client meets it, and the ledger's word on it."""

import asyncio
import json
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
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
)


def raw_request(message_id: int) -> bytes:
    body = json.dumps({"id": message_id, "phone": PHONE, "text": "x"}).encode()
    return b"POST /v1/send/%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (message_id, len(body), body)


async def test_slow_answers_after_its_delay(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "slow", "delay_s": 0.3, "delay_max_s": 0.5})
    started_s = time.monotonic()
    response = await send(session, 1)
    assert time.monotonic() - started_s >= 0.3
    assert (response.status, await response.json()) == (200, {"code": 0, "message": "OK"})
    (entry,) = await read_entries(session)
    took = datetime.fromisoformat(entry["answered_at"]) - datetime.fromisoformat(entry["arrived_at"])
    assert took >= timedelta(seconds=0.299)
    assert (entry["status"], entry["accepted"], entry["fault"]) == (200, True, "slow")


async def test_a_slow_call_whose_caller_gives_up_is_accepted_and_unanswered(session: aiohttp.ClientSession) -> None:
    """Given a provider that takes 60 s, when the caller leaves, then the message is accepted all the same."""
    await set_faults(session, {"kind": "slow", "delay_s": 60})
    with pytest.raises(TimeoutError):
        await send(session, 1, timeout=aiohttp.ClientTimeout(total=0.2))
    await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 0)
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["answered_at"], entry["accepted"]) == (None, None, True)


@pytest.mark.parametrize("accepts", [0, 1])
async def test_hang_never_answers(session: aiohttp.ClientSession, accepts: int) -> None:
    await set_faults(session, {"kind": "hang", "accepts": accepts})
    hanging = asyncio.create_task(send(session, 1))
    await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 1)
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"], entry["fault"]) == (None, accepts == 1, "hang")
    assert not hanging.done()
    hanging.cancel()
    summary = await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 0)
    assert summary["by_status"] == {"none": 1}


async def test_reset_resets_the_connection(provider: RunningProvider, session: aiohttp.ClientSession) -> None:
    """Given reset, when a whole request was sent, then the peer gets an RST: not an end of stream."""
    await set_faults(session, {"kind": "reset"})

    def call() -> None:
        with socket.create_connection(("127.0.0.1", provider.port), timeout=10) as connection:
            connection.sendall(raw_request(1))
            connection.recv(1)

    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(call)
    (entry,) = await read_entries(session)
    assert (entry["message_id"], entry["status"], entry["fault"]) == (1, None, "reset")


async def test_half_of_the_resets_come_after_the_message_was_accepted(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "reset"})
    outcomes = await asyncio.gather(*(send(session, number) for number in range(200)), return_exceptions=True)
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)
    summary = await read_summary(session)
    assert (summary["calls"], summary["by_status"], summary["by_fault"]) == (200, {"none": 200}, {"reset": 200})
    assert 70 <= summary["accepted"] <= 130


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504])
async def test_status_answers_it(session: aiohttp.ClientSession, code: int) -> None:
    await set_faults(session, {"kind": "status", "code": code})
    response = await send(session, 1)
    assert (response.status, (await response.json())["code"]) == (code, code)
    assert "Retry-After" not in response.headers
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"], entry["fault"]) == (code, False, "status")


async def test_status_says_when_to_come_again(session: aiohttp.ClientSession) -> None:
    fault = {"kind": "status", "code": 429, "retry_after_s": 30}
    await set_faults(session, fault)
    assert (await send(session, 1)).headers["Retry-After"] == "30"
    await set_faults(session, {**fault, "retry_after_date": True})
    at = parsedate_to_datetime((await send(session, 1)).headers["Retry-After"])
    assert timedelta(seconds=20) < at - datetime.now(UTC) <= timedelta(seconds=30)


async def test_status_may_have_accepted_and_may_be_large(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "status", "code": 504, "accepts": 1, "body_bytes": 2_000_000})
    response = await send(session, 1)
    assert (response.status, response.content_length) == (504, 2_000_000)
    assert (await response.json())["code"] == 504
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"]) == (504, True)


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ("html", "text/html", b"<!DOCTYPE html>"),
        ("html_as_json", "application/json", b"<!DOCTYPE html>"),
        ("truncated_json", "application/json", b'{"code": 0, "mess'),
        ("empty", "application/json", b""),
        ("wrong_schema", "application/json", b'{"status"'),
        ("code_as_string", "application/json", b'{"code": "0"'),
        ("code_as_true", "application/json", b'{"code": true'),
        ("huge", "application/octet-stream", bytes(10 * 1024 * 1024)),
        ("invalid_utf8", "application/json", b'{"code": 0, "message": "\xff'),
    ],
)
async def test_garbage_is_a_200_that_says_nothing(
    provider: RunningProvider, session: aiohttp.ClientSession, body: str, content_type: str, content: bytes
) -> None:
    await set_faults(session, {"kind": "garbage", "bodies": [body], "accepts": 1})
    async with httpx.AsyncClient(base_url=provider.address) as client:
        response = await client.post("/v1/send/1", json={"id": 1, "phone": PHONE, "text": "x"})
    assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)
    assert response.content.startswith(content)
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"], entry["fault"], entry["detail"]) == (200, True, "garbage", body)


async def test_redirect_sends_elsewhere(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "redirect", "location": "https://portal.example/login"})
    response = await send(session, 1)
    assert (response.status, response.headers["Location"]) == (302, "https://portal.example/login")
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"], entry["fault"]) == (302, False, "redirect")


async def test_refusal_is_a_200_with_another_code(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "refusal", "code": 17, "message": "BLACKLISTED"})
    response = await send(session, 1)
    assert (response.status, await response.json()) == (200, {"code": 17, "message": "BLACKLISTED"})
    (entry,) = await read_entries(session)
    assert (entry["status"], entry["accepted"], entry["fault"]) == (200, False, "refusal")


async def test_a_fault_for_some_phones_leaves_the_others_alone(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "refusal", "for_phones": [79000000001]})
    answers = [await (await send(session, phone, phone=phone)).json() for phone in (79000000001, 79000000002)]
    assert [answer["code"] for answer in answers] == [1, 0]


async def test_faults_are_switched_while_calls_are_under_way(session: aiohttp.ClientSession) -> None:
    """Given a hanging call, when the provider becomes sound, then the next call of the message is accepted."""
    await set_faults(session, {"kind": "hang"})
    hanging = asyncio.create_task(send(session, 1))
    await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 1)
    await set_faults(session)
    assert (await send(session, 1)).status == 200
    assert not hanging.done()
    hanging.cancel()


async def is_open(provider: RunningProvider) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", provider.port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_refuse_closes_the_door_for_a_while(provider: RunningProvider, session: aiohttp.ClientSession) -> None:
    """Given an open connection and a call under way, when refuse begins, then both are closed, until it is over."""
    _, writer = idle = await asyncio.open_connection("127.0.0.1", provider.port)
    await set_faults(session, {"kind": "slow", "delay_s": 30})
    under_way = asyncio.create_task(send(session, 1))
    await eventually(lambda: read_summary(session), lambda summary: summary["in_flight"] == 1)

    started_s = time.monotonic()
    await set_faults(session, {"kind": "refuse", "duration_s": 2})
    assert not await is_open(provider)
    async with provider.connect() as newcomer:
        with pytest.raises(aiohttp.ClientConnectorError):
            await send(newcomer, 2)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await under_way
    assert await idle[0].read() == b""
    writer.close()

    await eventually(lambda: is_open(provider), bool)
    assert time.monotonic() - started_s >= 2
    assert (await send(session, 3)).status == 200
    entries = await read_entries(session)
    assert [(entry["message_id"], entry["status"], entry["accepted"]) for entry in entries] == [
        (1, None, True),
        (3, 200, True),
    ]


async def test_refuse_on_a_call_ends_that_call_and_closes_the_door(
    provider: RunningProvider, session: aiohttp.ClientSession
) -> None:
    await set_faults(session, {"kind": "refuse", "duration_s": 2, "starts": "on_call", "times": 1})
    with pytest.raises(aiohttp.ClientConnectionError):
        await send(session, 1)
    assert not await is_open(provider)
    await eventually(lambda: is_open(provider), bool)
    assert (await send(session, 1)).status == 200
    entries: list[dict[str, Any]] = await read_entries(session)
    assert [(entry["fault"], entry["accepted"]) for entry in entries] == [("refuse", False), (None, True)]
