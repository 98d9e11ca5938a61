"""Given a provider that is away, does not let us call, or asks for a pause, then no attempt is used up; all is sent."""

import re
import time
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx

from tests.e2e.agreement import assert_agreement
from tests.e2e.system import System, instant
from tests.support.eventually import eventually

CALLS_UNDER_WAY = 3 * 16
RECOVERED_WITHIN = timedelta(seconds=10)


async def test_an_outage_uses_up_no_attempt_and_ends_nothing(system: System) -> None:
    audience = await system.make_audience(600)
    await system.set_faults(latency_s=0.2)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=50)
    await system.set_faults({"kind": "refuse", "duration_s": 12}, latency_s=0.2)
    gone_at_s = time.monotonic()
    for name in ("sender-1", "sender-2", "sender-3"):
        system.processes[name].find_in_log(r"breaker\.opened")
    await eventually(lambda: _is_back(system), "the provider back")
    assert time.monotonic() - gone_at_s >= 11
    statistics = await system.until(mailing, "completed", sent=600)
    # The calls that it cut off when it went cannot be known, so they were made again; the outage itself cost nothing.
    cut_off = statistics["ambiguous"]
    assert statistics["by_attempt"] == {"1": 600 - cut_off} | ({"2": cut_off} if cut_off else {})
    assert cut_off <= CALLS_UNDER_WAY
    assert statistics["failures"] == []
    calls = await assert_agreement(system, mailing, audience)
    arrived = [instant(call["arrived_at"]) for call in calls]
    back = max(later - earlier for earlier, later in pairwise(arrived))
    print(f"the longest silence: {back.total_seconds():.1f} s, of which 12 s were the outage")
    assert back <= timedelta(seconds=12) + RECOVERED_WITHIN


async def test_a_fault_of_ours_waits_for_us(system: System) -> None:
    audience = await system.make_audience(40)
    await system.set_faults({"kind": "status", "code": 401})
    mailing = await system.make_mailing(audience)
    for name in ("sender-1", "sender-2", "sender-3"):
        await eventually(lambda name=name: _is_unready(system, name), f"{name} says that it may not call")  # type: ignore[misc]
    counts = (await system.statistics(mailing["id"]))["counts"]
    assert counts["sent"] == counts["failed"] == 0
    await system.set_faults()
    statistics = await system.until(mailing, "completed", sent=40)
    assert statistics["by_attempt"] == {"1": 40}
    await assert_agreement(system, mailing, audience)


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


async def _is_back(system: System) -> bool:
    try:
        return (await system.provider.get("/health/live")).status_code == 200
    except httpx.TransportError:
        return False


async def _is_unready(system: System, name: str) -> dict[str, Any] | None:
    ports = re.findall(r'"port": (\d+), "event": "health.listening"', system.processes[name].log.read_text())
    port = ports[-1]  # a process that was killed and started again has another
    async with httpx.AsyncClient(trust_env=False) as gateway:
        answer = await gateway.get(f"http://127.0.0.1:{port}/health/ready")
    return answer.json() if answer.status_code == 503 and "401" in answer.text else None
