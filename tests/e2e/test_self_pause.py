"""Given a provider that refuses every message for good, then the mailing pauses itself before all of them are spent."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.agreement import assert_agreement
from tests.e2e.conftest import SETTINGS
from tests.e2e.system import System, running_system
from tests.e2e.test_outcomes import letters_are
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

AUDIENCE = 3_000
MOST_FAILURES = 1_000  # at 80 calls a second and 200 outcomes it is told of after some 3 seconds, on a quiet machine
LATENCY_S = 0.2
# 16 calls at once, each of 0.2 s: 80 a second, however fast the machine.
SLOW = {**SETTINGS, "PROVIDER_CONCURRENCY": "8"}


@pytest.fixture
def vhost_amqp_url(amqp_url: str, management_url: str) -> Iterator[str]:
    with fresh_vhost(amqp_url, management_url) as url:
        yield url


@pytest.fixture
def own_database(mongo_url: str) -> Iterator[str]:
    with fresh_database(mongo_url) as name:
        yield name


@pytest.fixture
async def own_system(vhost_amqp_url: str, mongo_url: str, own_database: str, tmp_path: Path) -> AsyncIterator[System]:
    async with running_system(tmp_path, vhost_amqp_url, mongo_url, own_database, senders=2, settings=SLOW) as system:
        yield system


async def until_paused_and_still(system: System, mailing: dict[str, Any]) -> dict[str, Any]:
    """The statistics of a mailing that has paused itself, once nothing of it is under way any more."""

    async def look() -> dict[str, Any] | None:
        one = await system.statistics(mailing["id"])
        counts = one["counts"]
        at_rest = one["status"] == "paused" and not counts["sending"] + counts["queued"]
        return one if at_rest else None

    statistics: dict[str, Any] = await eventually(look, "paused, and nothing under way", within_s=90)
    shown = await system.ask("GET", f"/mailings/{mailing['id']}")
    assert shown["pause_reason"].startswith("too_many_failures: "), shown
    return statistics


async def test_it_pauses_itself_goes_on_when_resumed_and_a_replay_brings_the_failed_ones_out(
    own_system: System,
) -> None:
    # Given a provider that says 400 to everything
    system = own_system
    audience = system.make_large_audience(AUDIENCE)
    await system.set_faults({"kind": "status", "code": 400}, latency_s=LATENCY_S)

    # When a mailing runs, then it pauses itself, and most of its audience is not spent
    mailing = await system.make_mailing(audience)
    first = (await until_paused_and_still(system, mailing))["counts"]
    assert 200 <= first["failed"] <= MOST_FAILURES
    assert first["sent"] == 0

    # And it stays so: what has failed is what was called
    assert len(await system.calls([mailing["text"]])) == first["failed"]

    # When it is resumed although nothing has changed, then the count begins anew, and it pauses itself again
    resumed = await system.ask("POST", f"/mailings/{mailing['id']}/resume")
    assert (resumed["status"], resumed["pause_reason"]) == ("running", None)
    second = (await until_paused_and_still(system, mailing))["counts"]
    assert first["failed"] + 200 <= second["failed"] <= 2 * MOST_FAILURES

    # When the provider is sound again, then a resume and a replay bring out all
    await system.set_faults()
    await system.ask("POST", f"/mailings/{mailing['id']}/resume")
    answer = await system.ask("POST", f"/mailings/{mailing['id']}/replay", {"statuses": ["failed"]}, expect=202)
    assert answer["replaying"] == second["failed"]
    await system.until(mailing, "completed", sent=AUDIENCE, within_s=120)
    await assert_agreement(system, mailing, audience)
    await eventually(
        lambda: letters_are(system, mailing["id"], {}), "no entry left in messages.dead", within_s=60, every_s=3.0
    )
