"""The HTTP provider against the fake one: every fault, what the sender makes of it, and what the ledger knows."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from services.sender.outcome import Verdict, judge
from services.sender.provider.http_provider import HttpProvider
from services.sender.provider.provider import Answer, Call, Unsendable
from shared.domain.message import Outcome
from tests.unit.fake_provider.running import RunningProvider, eventually, read_entries, set_faults, start_provider

TOKEN = "the right token"
REFUSAL_STATUSES = frozenset({429, 500, 503})
ACCEPTED, REFUSED, UNKNOWN, PERMANENT, UNAUTHORISED = Outcome
PHONE = "79001234567"


@pytest.fixture(scope="module")
async def fake() -> AsyncIterator[RunningProvider]:
    provider = await start_provider("--token", TOKEN)
    yield provider
    assert await provider.end() == 0


@pytest.fixture(scope="module")
async def control(fake: RunningProvider) -> AsyncIterator[aiohttp.ClientSession]:
    async with fake.connect() as session:
        yield session


@pytest.fixture(autouse=True)
async def sound(control: aiohttp.ClientSession) -> None:
    """Each test begins with a provider that is sound and has been called by nobody."""
    await set_faults(control)
    async with control.delete("/ledger") as response:
        assert response.status < 300


def provider_at(address: str, *, token: str = TOKEN, concurrency: int = 8, timeout_s: float = 5.0) -> HttpProvider:
    return HttpProvider(
        f"{address}/v1",
        token=token,
        concurrency=concurrency,
        timeout_s=timeout_s,
        refusal_statuses=REFUSAL_STATUSES,
    )


def call(message_id: int = 1, *, text: str = "Hello", start_within_s: float = 15.0, end_within_s: float = 25.0) -> Call:
    return Call(message_id, PHONE, text, lambda: start_within_s, end_within_s)


async def deliver(fake: RunningProvider, one: Call | None = None, **how: Any) -> tuple[Answer, Verdict]:
    async with provider_at(fake.address, **how) as provider:
        answer = await provider.deliver(one or call())
    return answer, judge(answer, refusal_statuses=REFUSAL_STATUSES)


async def test_a_sound_call_says_what_the_protocol_wants_and_is_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    answer, verdict = await deliver(fake, call(2**63 - 1, text="Привет, {world} \U0001f600"))

    assert (verdict.outcome, verdict.reason) == (ACCEPTED, None)
    assert answer.http_status == 200
    [entry] = await read_entries(control)
    assert (entry["message_id"], entry["phone"], entry["accepted"]) == (2**63 - 1, int(PHONE), True)
    assert entry["text"] == "Привет, {world} \U0001f600"


def status(code: int, **more: Any) -> dict[str, Any]:
    return {"kind": "status", "code": code, **more}


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


async def test_a_hang_ends_with_the_timeout_and_cannot_be_known(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "hang", "accepts": 1.0})
    began_at_s = time.monotonic()

    answer, verdict = await deliver(fake, timeout_s=0.5)

    assert verdict.outcome is UNKNOWN
    assert answer.written
    assert time.monotonic() - began_at_s < 3
    assert len(await read_entries(control)) == 1


async def test_the_whole_attempt_ends_in_its_time_whatever_a_try_may_take(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "hang"})
    began_at_s = time.monotonic()

    _, verdict = await deliver(fake, call(end_within_s=0.3))

    assert verdict.outcome is UNKNOWN
    assert time.monotonic() - began_at_s < 2


async def test_a_slow_answer_is_waited_for(fake: RunningProvider, control: aiohttp.ClientSession) -> None:
    await set_faults(control, {"kind": "slow", "delay_s": 0.4})

    answer, verdict = await deliver(fake)

    assert verdict.outcome is ACCEPTED
    assert 400 <= (answer.latency_ms or 0) < 2_000


async def test_a_refused_connection_is_tried_once_more_and_certainly_not_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "refuse", "duration_s": 1.0})

    answer, verdict = await deliver(fake)

    assert (verdict.outcome, verdict.reason) == (REFUSED, "no_connection")
    assert (answer.started, answer.written, answer.http_status) == (True, False, None)
    assert await eventually(lambda: _listens(fake), bool)
    assert await read_entries(control) == []


async def test_the_second_try_may_be_the_one_that_is_accepted(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 503, "times": 1})

    _, verdict = await deliver(fake)

    assert verdict.outcome is ACCEPTED
    assert [entry["status"] for entry in await read_entries(control)] == [503, 200]


async def test_a_second_try_that_is_not_answered_cannot_be_known(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 503, "times": 1}, {"kind": "reset", "accepts": 1.0})

    answer, verdict = await deliver(fake)

    assert verdict.outcome is UNKNOWN
    assert answer.written
    assert len(await read_entries(control)) == 2


async def test_a_second_try_is_not_begun_when_the_time_is_over_and_the_refusal_stands(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, status(503))
    looks = iter([10.0, 10.0])  # before the first try, and before it is written

    answer, verdict = await deliver(fake, Call(1, PHONE, "Hello", lambda: next(looks, 0.0), 25.0))

    assert (verdict.outcome, verdict.reason) == (REFUSED, "http_503")
    assert answer.started
    assert len(await read_entries(control)) == 1


async def test_without_time_left_nothing_is_started(fake: RunningProvider, control: aiohttp.ClientSession) -> None:
    answer, _ = await deliver(fake, call(start_within_s=0.0))

    assert not answer.started
    assert await read_entries(control) == []


async def test_the_clock_is_looked_at_once_more_when_the_connection_stands(
    fake: RunningProvider, control: aiohttp.ClientSession
) -> None:
    looks = iter([10.0])  # the end has come while it connected

    answer, _ = await deliver(fake, Call(1, PHONE, "Hello", lambda: next(looks, 0.0), 25.0))

    assert not answer.started
    assert await read_entries(control) == []


async def test_a_wrong_token_is_a_fault_of_ours(fake: RunningProvider, control: aiohttp.ClientSession) -> None:
    _, verdict = await deliver(fake, token="the wrong token")

    assert (verdict.outcome, verdict.reason) == (UNAUTHORISED, "http_401")
    assert [entry["accepted"] for entry in await read_entries(control)] == [False]


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


async def _listens(fake: RunningProvider) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", fake.port)
    except OSError:
        return False
    writer.close()
    return True
