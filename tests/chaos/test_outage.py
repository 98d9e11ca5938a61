"""Given a mailing of 10,000, when the provider refuses connections for a minute in the middle, then all are sent.

Minutes long, and so no part of `make test`: `pytest -n 0 -s tests/chaos/test_outage.py`.
"""

import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.e2e.agreement import assert_agreement
from tests.e2e.system import System, instant, running_system
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

COUNT = 10_000
OUTAGE = timedelta(seconds=60)
RECOVERED_WITHIN = timedelta(seconds=10)
SENDERS = 3
CALLS_UNDER_WAY = SENDERS * 64
LIMIT_S = 900.0


@pytest.fixture
async def system(amqp_url: str, management_url: str, mongo_url: str, tmp_path: Path) -> AsyncIterator[System]:
    with fresh_vhost(amqp_url, management_url) as url, fresh_database(mongo_url) as name:
        async with running_system(tmp_path, url, mongo_url, name, senders=SENDERS) as one:
            yield one


@pytest.mark.timeout(2 * LIMIT_S)
async def test_a_minute_without_the_provider_costs_no_attempt_and_no_message(
    system: System, record_property: Callable[[str, object], None]
) -> None:
    audience = system.make_large_audience(COUNT)
    await system.set_faults(latency_s=0.05)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=COUNT // 3, within_s=LIMIT_S)
    await system.set_faults({"kind": "refuse", "duration_s": OUTAGE.total_seconds()}, latency_s=0.05)
    gone_at_s = time.monotonic()
    await eventually(lambda: _is_back(system), "the provider back", within_s=OUTAGE.total_seconds() + 30)
    assert time.monotonic() - gone_at_s >= OUTAGE.total_seconds() - 1
    assert (await system.statistics(mailing["id"]))["counts"]["sent"] < COUNT, "it was not in the middle"
    statistics = await system.until(mailing, "completed", within_s=LIMIT_S, sent=COUNT)

    # The calls that it cut off when it went cannot be known, so they were made again; the outage itself cost nothing.
    cut_off = statistics["ambiguous"]
    assert statistics["by_attempt"] == {"1": COUNT - cut_off} | ({"2": cut_off} if cut_off else {})
    assert cut_off <= CALLS_UNDER_WAY
    assert statistics["failures"] == []
    assert (await system.ask("GET", "/dead-letters"))["items"] == []
    calls = await assert_agreement(system, mailing, audience)
    silence = max(later - earlier for earlier, later in pairwise(sorted(instant(call["arrived_at"]) for call in calls)))
    recovered_s = (silence - OUTAGE).total_seconds()
    for name, value in (("cut_off", cut_off), ("calls", len(calls)), ("recovered_s", round(recovered_s, 1))):
        record_property(name, value)
        print(f"{name}: {value}")
    assert silence <= OUTAGE + RECOVERED_WITHIN


async def _is_back(system: System) -> bool:
    try:
        return (await system.provider.get("/health/live")).status_code == 200
    except httpx.TransportError:
        return False
