"""Given a provider that is away, does not let us call, or asks for a pause, then no attempt is used up; all is sent."""

import json
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.agreement import assert_agreement
from tests.e2e.conftest import SETTINGS
from tests.e2e.system import System, instant, running_system
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

SENDERS = ("sender-1", "sender-2", "sender-3")
CALLS_UNDER_WAY = 3 * 16
RECOVERED_WITHIN = timedelta(seconds=10)
RATE_PER_S = 50
SECOND = timedelta(seconds=1)


@pytest.fixture
async def limited_system(amqp_url: str, management_url: str, mongo_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """Three senders that may make so many calls a second together."""
    settings = SETTINGS | {"PROVIDER_RATE_PER_S": str(RATE_PER_S)}
    with fresh_vhost(amqp_url, management_url) as url, fresh_database(mongo_url) as name:
        async with running_system(tmp_path, url, mongo_url, name, settings=settings) as system:
            yield system


async def test_an_outage_uses_up_no_attempt_and_ends_nothing(system: System) -> None:
    audience = await system.make_audience(600)
    await system.set_faults(latency_s=0.2)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=50)
    await system.set_faults({"kind": "refuse", "duration_s": 12}, latency_s=0.2)
    gone_at_s = time.monotonic()
    for name in SENDERS:
        system.processes[name].find_in_log(r"breaker\.opened")
    await eventually(lambda: _is_back(system), "the provider back")
    assert time.monotonic() - gone_at_s >= 11
    statistics = await system.until(mailing, "completed", sent=600)
    # The calls that it cut off when it went cannot be known, so they were made again; the outage itself cost nothing.
    cut_off = statistics["ambiguous"]
    assert statistics["by_attempt"] == {"1": 600 - cut_off} | ({"2": cut_off} if cut_off else {})
    assert cut_off <= CALLS_UNDER_WAY
    assert statistics["failures"] == []
    assert await _dead_letters(system, mailing) == []
    calls = await assert_agreement(system, mailing, audience)
    arrived = [instant(call["arrived_at"]) for call in calls]
    back = max(later - earlier for earlier, later in pairwise(arrived))
    print(f"the longest silence: {back.total_seconds():.1f} s, of which 12 s were the outage")
    assert back <= timedelta(seconds=12) + RECOVERED_WITHIN


async def test_a_fault_of_ours_waits_for_us(system: System) -> None:
    audience = await system.make_audience(40)
    await system.set_faults({"kind": "status", "code": 401})
    mailing = await system.make_mailing(audience)
    for name in SENDERS:
        await eventually(lambda name=name: _is_unready(system, name), f"{name} says that it may not call")  # type: ignore[misc]
    counts = (await system.statistics(mailing["id"]))["counts"]
    assert counts["sent"] == counts["failed"] == 0
    for name in SENDERS:
        alerts = [json.loads(line) for line in _log_of(system, name).splitlines() if "breaker.opened" in line]
        assert any(one["level"] == "error" and "http_401" in one["reason"] for one in alerts), alerts
    mended_at = datetime.now(UTC)
    await system.set_faults()
    statistics = await system.until(mailing, "completed", sent=40)
    assert statistics["by_attempt"] == {"1": 40}
    assert await _dead_letters(system, mailing) == []
    calls = await assert_agreement(system, mailing, audience)
    first_sent_at = min(instant(call["arrived_at"]) for call in calls if call["accepted"])
    print(f"sending again after {(first_sent_at - mended_at).total_seconds():.1f} s")
    assert first_sent_at - mended_at <= RECOVERED_WITHIN
    # Who had nothing left to try it with learns it from the next mailing.
    await system.until(await system.make_mailing(audience), "completed", sent=40)
    for name in SENDERS:
        await eventually(lambda name=name: _is_ready(system, name), f"{name} may call again")  # type: ignore[misc]


async def test_retry_after_is_obeyed_by_all_senders_together(system: System) -> None:
    audience = await system.make_audience(400)
    await system.set_faults({"kind": "status", "code": 429, "retry_after_s": 6, "times": 1}, latency_s=0.2)
    mailing = await system.make_mailing(audience)
    statistics = await system.until(mailing, "completed", sent=400)
    assert statistics["by_attempt"] == {"1": 400}
    calls = await assert_agreement(system, mailing, audience)
    asked_at = next(instant(call["arrived_at"]) for call in calls if call["status"] == 429)
    # Two seconds for what was claimed or in a call when the pause was asked for, and for the clocks' last second.
    quiet = (asked_at + timedelta(seconds=2), asked_at + timedelta(seconds=5))
    disturbed = [call for call in calls if quiet[0] < instant(call["arrived_at"]) < quiet[1]]
    assert not disturbed, disturbed[:3]


async def test_a_rate_is_kept_by_all_senders_together_in_every_second(limited_system: System) -> None:
    system = limited_system
    audience = await system.make_audience(500)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "completed", sent=500)
    calls = await assert_agreement(system, mailing, audience)
    messages = await system.messages(mailing["id"])
    started = [instant(message["sent_at"]) for message in messages]  # when the call that was accepted began
    most_started = _most_in_a_second(started)
    most_arrived = _most_in_a_second(instant(call["arrived_at"]) for call in calls)
    took = max(started) - min(started)
    print(
        f"{len(calls)} calls in {took.total_seconds():.1f} s; in a second at most {most_started}, came {most_arrived}"
    )
    # A sender counts whole calls, and makes up for a twentieth of a second when it was held up.
    assert most_started <= RATE_PER_S * 1.05 + 2 * len(SENDERS)
    # The provider, too, may be held up by the machine: then it finds together what came one after the other.
    assert most_arrived <= RATE_PER_S * 2
    assert len(calls) / took.total_seconds() <= RATE_PER_S * 1.05


def _most_in_a_second(instants: Iterable[datetime]) -> int:
    most, second = 0, deque[datetime]()
    for at in sorted(instants):
        second.append(at)
        while second[0] <= at - SECOND:
            second.popleft()
        most = max(most, len(second))
    return most


async def _dead_letters(system: System, mailing: dict[str, Any]) -> list[dict[str, Any]]:
    groups = (await system.ask("GET", "/dead-letters?limit=500"))["items"]
    return [group for group in groups if group["mailing_id"] == mailing["id"]]


def _log_of(system: System, name: str) -> str:
    return system.processes[name].log.read_text()


async def _is_back(system: System) -> bool:
    try:
        return (await system.provider.get("/health/live")).status_code == 200
    except httpx.TransportError:
        return False


async def _is_ready(system: System, name: str) -> bool:
    return (await _readiness(system, name)).status_code == 200


async def _is_unready(system: System, name: str) -> dict[str, Any] | None:
    answer = await _readiness(system, name)
    return answer.json() if answer.status_code == 503 and "401" in answer.json()["dependencies"]["provider"] else None


async def _readiness(system: System, name: str) -> httpx.Response:
    ports = re.findall(r'"port":(\d+),"event":"health.listening"', _log_of(system, name))
    port = ports[-1]  # a process that was killed and started again has another
    async with httpx.AsyncClient(trust_env=False) as gateway:
        return await gateway.get(f"http://127.0.0.1:{port}/health/ready")
