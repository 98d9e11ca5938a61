"""The HTTP provider against the fake one: every fault, what the sender makes of it, and what the ledger knows."""

import asyncio
from typing import Any

import aiohttp
import pytest

from services.sender.outcome import judge
from services.sender.provider.provider import Call, Unsendable
from shared.domain.message import Outcome
from tests.integration.sender.calling import (
    ACCEPTED,
    PERMANENT,
    PHONE,
    REFUSAL_STATUSES,
    REFUSED,
    UNAUTHORISED,
    UNKNOWN,
    call,
    deliver,
    provider_at,
    status,
)
from tests.unit.fake_provider.running import RunningProvider, read_entries, set_faults, start_provider


async def test_a_sound_call_says_what_the_protocol_wants_and_is_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    answer, verdict = await deliver(fake, call(2**63 - 1, text="Привет, {world} \U0001f600"))

    assert (verdict.outcome, verdict.reason) == (ACCEPTED, None)
    assert answer.http_status == 200
    [entry] = await read_entries(control)
    assert (entry["message_id"], entry["phone"], entry["accepted"]) == (2**63 - 1, int(PHONE), True)
    assert entry["text"] == "Привет, {world} \U0001f600"


FAULTS = [
    (status(400), PERMANENT, "http_400", 1),
    (status(404), PERMANENT, "http_404", 1),
    (status(409), PERMANENT, "http_409", 1),
    (status(422), PERMANENT, "http_422", 1),
    (status(401), UNAUTHORISED, "http_401", 1),
    (status(403), UNAUTHORISED, "http_403", 1),
    ({"kind": "redirect"}, UNAUTHORISED, "http_302", 1),
    ({"kind": "redirect", "code": 307}, UNAUTHORISED, "http_307", 1),
    (status(429, retry_after_s=2), REFUSED, "http_429", 1),
    (status(500), REFUSED, "http_500", 1),
    (status(503), REFUSED, "http_503", 2),  # one quick try more
    (status(503, retry_after_s=2), REFUSED, "http_503", 1),  # it says when: the ladder's business
    (status(503, body_bytes=2_000_000), REFUSED, "http_503", 2),
    (status(502, accepts=0.5), UNKNOWN, "http_502", 1),
    (status(504, accepts=1.0), UNKNOWN, "http_504", 1),
    ({"kind": "refusal", "code": 7}, PERMANENT, "refused_code_7", 1),
    ({"kind": "reset", "accepts": 1.0}, UNKNOWN, "no_answer", 1),
    ({"kind": "reset", "accepts": 0.0}, UNKNOWN, "no_answer", 1),
    *(
        ({"kind": "garbage", "bodies": [body]}, UNKNOWN, "malformed_answer", 1)
        for body in (
            "html",
            "html_as_json",
            "truncated_json",
            "empty",
            "wrong_schema",
            "code_as_string",
            "code_as_true",
            "huge",
            "invalid_utf8",
        )
    ),
]


@pytest.mark.parametrize(("fault", "outcome", "reason", "calls"), FAULTS, ids=lambda value: str(value)[:60])
async def test_each_fault_has_its_outcome_and_the_ledger_agrees(
    fake: RunningProvider,
    control: aiohttp.ClientSession,
    fault: dict[str, Any],
    outcome: Outcome,
    reason: str,
    calls: int,
) -> None:
    await set_faults(control, fault)

    _, verdict = await deliver(fake)

    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    entries = await read_entries(control)
    assert len(entries) == calls
    if outcome is not UNKNOWN:
        assert not any(entry["accepted"] for entry in entries)


async def test_a_wrong_token_is_a_fault_of_ours() -> None:
    guarded = await start_provider("--token", "the right token")
    try:
        _, wrong = await deliver(guarded, token="the wrong token")
        _, missing = await deliver(guarded, token="")
        _, right = await deliver(guarded, token="the right token")
    finally:
        await guarded.end()

    assert [(one.outcome, one.reason) for one in (wrong, missing)] == [(UNAUTHORISED, "http_401")] * 2
    assert right.outcome is ACCEPTED


@pytest.mark.parametrize(("phone", "text"), [("none", "Hello"), (PHONE, "\ud800 alone")])
async def test_what_cannot_be_put_into_a_request_is_said_before_anything_is_sent(
    fake: RunningProvider, control: aiohttp.ClientSession, phone: str, text: str
) -> None:
    async with provider_at(fake.address) as provider:
        with pytest.raises(Unsendable):
            await provider.deliver(Call(1, phone, text, lambda: 15.0, 25.0))

    assert await read_entries(control) == []


@pytest.mark.parametrize(
    "fault",
    [
        status(503, body_bytes=3_000_000),
        {"kind": "garbage", "bodies": ["huge"]},
        status(400, body_bytes=3_000_000),
        {"kind": "reset"},
    ],
    ids=["503 with a large body", "a huge 200", "400 with a large body", "reset"],
)
async def test_no_answer_keeps_its_connection_from_the_next_call(
    fake: RunningProvider, control: aiohttp.ClientSession, fault: dict[str, Any]
) -> None:
    """With two connections and a body that is not read, calls would wait for each other for ever."""
    async with provider_at(fake.address, concurrency=2) as provider:
        await set_faults(control, fault)
        async with asyncio.timeout(20):
            await asyncio.gather(*(provider.deliver(call(number)) for number in range(1, 9)))
        await set_faults(control)
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(provider.deliver(call(100 + number)) for number in range(8)))

    assert [judge(answer, refusal_statuses=REFUSAL_STATUSES).outcome for answer in answers] == [ACCEPTED] * 8


async def test_a_mix_of_faults_never_contradicts_the_ledger(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    kinds: list[dict[str, Any]] = [
        status(503),
        status(502, accepts=0.5),
        status(400),
        {"kind": "reset"},
        {"kind": "garbage"},
        {"kind": "slow", "delay_s": 0.01, "delay_max_s": 0.05},
        {"kind": "refusal"},
    ]
    await set_faults(control, *({**kind, "probability": 0.1} for kind in kinds), seed=11)
    async with provider_at(fake.address, concurrency=32) as provider:
        answers = await asyncio.gather(*(provider.deliver(call(number)) for number in range(1, 301)))
    outcomes = {
        number: judge(answer, refusal_statuses=REFUSAL_STATUSES).outcome for number, answer in enumerate(answers, 1)
    }

    accepted: dict[int, int] = dict.fromkeys(outcomes, 0)
    for entry in await read_entries(control, "?limit=10000"):
        accepted[entry["message_id"]] += entry["accepted"]
    for number, outcome in outcomes.items():
        assert accepted[number] <= 1
        if outcome is ACCEPTED:
            assert accepted[number] == 1, number
        elif outcome is not UNKNOWN:
            assert accepted[number] == 0, (number, outcome)
    assert set(outcomes.values()) >= {ACCEPTED, REFUSED, UNKNOWN, PERMANENT}
