"""Given a system that has not sent before, when a mailing is slow to send, then another stands behind seconds of it.

Right after a burst at a fast provider it may be some two thousand messages: what the senders still hold by then.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import SETTINGS
from tests.e2e.system import System, running_system
from tests.support.isolation import fresh_database, fresh_vhost


@pytest.fixture
async def fresh_system(amqp_url: str, management_url: str, mongo_url: str, tmp_path: Path) -> AsyncIterator[System]:
    with fresh_vhost(amqp_url, management_url) as url, fresh_database(mongo_url) as name:
        async with running_system(tmp_path, url, mongo_url, name, settings=SETTINGS) as system:
            yield system


async def test_a_mailing_that_is_slow_to_send_does_not_keep_another_waiting(
    fresh_system: System, record_property: Callable[[str, object], None]
) -> None:
    system = fresh_system
    many, one = system.make_large_audience(3_000), await system.make_audience(1)
    slow = await system.make_mailing(many, start_at="2030-01-01T00:00:00Z", end_at="2030-01-02T00:00:00Z")
    await system.set_faults({"kind": "slow", "delay_s": 0.7, "for_texts": [slow["text"]]})
    await system.ask("PATCH", f"/mailings/{slow['id']}", {"start_at": "2026-01-01T00:00:00Z"})
    sent_before = (await system.until(slow, "running", sent=60))["counts"]["sent"]
    began_s = asyncio.get_running_loop().time()
    urgent = await system.make_mailing(one)
    await system.until(urgent, "completed", sent=1)
    took_s = asyncio.get_running_loop().time() - began_s
    sent_meanwhile = (await system.statistics(slow["id"]))["counts"]["sent"] - sent_before
    await system.ask("POST", f"/mailings/{slow['id']}/cancel")
    record_property("beside_a_slow_one_s", round(took_s, 1))
    print(
        f"one message beside 3,000 that take 0.7 s each: {took_s:.1f} s, {sent_meanwhile} of them were sent meanwhile"
    )
    # Told in messages, not in seconds, since a busy machine makes both slow: before, it stood behind 2,000.
    assert sent_meanwhile < 1_000
