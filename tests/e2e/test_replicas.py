"""Given several schedulers and senders, when they work side by side and some die, then nothing is lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.agreement import accepted_phones, assert_agreement
from tests.e2e.system import Audience, System

CLAIM_OUTLIVED_S = 120  # a claim of a dead sender is judged after 30 s, by a command that waits in the 30 s step


async def test_two_schedulers_and_three_senders_on_five_mailings(system: System) -> None:
    audiences = [await system.make_audience(120) for _ in range(5)]
    mailings = await asyncio.gather(*(system.make_mailing(audience) for audience in audiences))
    await asyncio.gather(*(system.until(mailing, "completed", sent=120) for mailing in mailings))
    for mailing, audience in zip(mailings, audiences, strict=True):
        calls = await assert_agreement(system, mailing, audience)
        assert accepted_phones(calls) == Counter(audience.phones)


async def test_sigterm_of_a_sender_at_work_loses_and_doubles_nothing(system: System) -> None:
    audience, mailing = await _under_way(system, 400)
    system.processes["sender-1"].terminate()
    assert await asyncio.to_thread(system.processes["sender-1"].wait) == 0
    system.start("sender-1", "sender")
    statistics = await system.until(mailing, "completed", sent=400)
    assert statistics["ambiguous"] == 0
    calls = await assert_agreement(system, mailing, audience)
    assert accepted_phones(calls) == Counter(audience.phones)
    await system.until_ready("sender-1")


@pytest.mark.parametrize("victim", ["sender", "scheduler"])
async def test_kill_9_loses_nothing_and_doubles_only_what_is_marked(system: System, victim: str) -> None:
    audience, mailing = await _under_way(system, 600)
    system.processes[f"{victim}-1"].kill()
    system.start(f"{victim}-1", victim)
    statistics = await system.until(mailing, "completed", within_s=CLAIM_OUTLIVED_S, sent=600)
    calls = await assert_agreement(system, mailing, audience)
    assert set(accepted_phones(calls)) == set(audience.phones)
    if victim == "scheduler":
        assert statistics["ambiguous"] == 0
        assert len(calls) == 600


async def test_an_urgent_mailing_does_not_wait_for_a_huge_one(
    system: System, record_property: Callable[[str, object], None]
) -> None:
    huge = system.make_large_audience(20_000)
    urgent = await system.make_audience(100)
    await system.set_faults(latency_s=0.05)
    huge_mailing = await system.make_mailing(huge)
    await system.until(huge_mailing, "running", sent=200)
    clock = asyncio.get_running_loop().time
    began_s = clock()
    urgent_mailing = await system.make_mailing(urgent)
    await system.until(urgent_mailing, "completed", sent=100)
    took_s = clock() - began_s
    record_property("urgent_s", round(took_s, 1))
    print(f"100 urgent messages beside 20,000: {took_s:.1f} s")
    assert took_s < 20
    await system.ask("POST", f"/mailings/{huge_mailing['id']}/cancel")
    await assert_agreement(system, urgent_mailing, urgent)


async def _under_way(system: System, count: int) -> tuple[Audience, dict[str, Any]]:
    audience = await system.make_audience(count)
    await system.set_faults(latency_s=0.3)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=20)
    return audience, mailing
