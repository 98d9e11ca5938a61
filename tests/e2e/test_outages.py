"""Given a system whose broker or store is away, at the start or for a while, then it waits, says so, and goes on."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.rabbit import PrivateRabbit
from deploy.local.server import PrivateServer
from deploy.local.store import EmbeddedStore
from tests.e2e.agreement import accepted_phones, assert_agreement
from tests.e2e.system import System, running_system
from tests.support.eventually import eventually

SETTINGS = {"PROVIDER_CONCURRENCY": "16", "SENDER_BATCH_SIZE": "50", "SENDER_BATCH_WAIT_MS": "5"}
OUTLIVED_CLAIM_S = 180  # 30 s until it is outlived, once or twice in the 30 s step, and a mend after 60 s


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """A broker that may be killed, not started yet."""
    node = PrivateRabbit(tmp_path_factory.mktemp("rabbit"))
    yield node
    node.stop()


@pytest.fixture(scope="module")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A store that may be killed, not started yet."""
    store = EmbeddedStore(tmp_path_factory.mktemp("store"))
    yield store
    store.stop()


@pytest.fixture(scope="module")
async def outage_system(
    rabbit: PrivateRabbit, embedded_store: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """All services started before broker and store, which then come."""
    folder: Path = tmp_path_factory.mktemp("outages")
    mongo_url = embedded_store.mongo_url
    async with running_system(
        folder,
        rabbit.amqp_url,
        mongo_url,
        "mailrun",
        senders=2,
        schedulers=1,
        settings=SETTINGS,
        before_ready=lambda system: _told_and_then_helped(system, rabbit, embedded_store),
    ) as system:
        yield system


async def _told_and_then_helped(system: System, *servers: PrivateServer) -> None:
    live = await eventually(lambda: _health(system, "live"), "the API alive without broker and store")
    assert live["status"] == "live"
    ready = await system.api.get("/health/ready")
    assert ready.status_code == 503
    assert all(state != "up" for state in ready.json()["dependencies"].values()), ready.text
    answer = await system.api.get("/api/v1/clients")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "retry-after" in answer.headers
    for name in ("scheduler-1", "sender-1"):
        await asyncio.to_thread(system.processes[name].find_in_log, r"dependency\.down")
    await _start(*servers)


async def _start(*servers: PrivateServer) -> None:
    """Start them, at the same time; from this thread, since they end with the thread that started them."""
    for server in servers:
        server.spawn()
    for server in servers:
        await asyncio.to_thread(server.wait_until_ready)


async def _health(system: System, page: str) -> dict[str, Any] | None:
    try:
        return dict((await system.api.get(f"/health/{page}")).json())
    except httpx.TransportError:
        return None


@pytest.mark.timeout(400)
@pytest.mark.parametrize("victim", ["rabbit", "embedded_store"])
async def test_a_server_killed_in_the_middle_for_a_while(
    outage_system: System, request: pytest.FixtureRequest, victim: str
) -> None:
    system, server = outage_system, request.getfixturevalue(victim)
    await system.set_faults(latency_s=0.2)
    audience = await system.make_audience(500)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=30)
    server.kill()
    killed_at_s = time.monotonic()
    await eventually(lambda: _not_ready(system), "the API says that something is away")
    if victim == "rabbit":
        accepted = await system.make_mailing(audience)  # a broker that is down fails no request
        await system.ask("POST", f"/mailings/{accepted['id']}/cancel")
    else:
        answer = await system.api.get(f"/api/v1/mailings/{mailing['id']}")
        assert answer.status_code == 503, answer.text
    await eventually(lambda: _passed(killed_at_s, 8), "eight seconds without it")
    await _start(server)
    statistics = await system.until(mailing, "completed", within_s=OUTLIVED_CLAIM_S, sent=500)
    calls = await assert_agreement(system, mailing, audience)
    assert set(accepted_phones(calls)) == set(audience.phones)
    if victim == "rabbit":
        assert statistics["ambiguous"] == 0
        assert accepted_phones(calls) == Counter(audience.phones)
    await eventually(lambda: _ready(system), "ready again")


async def _not_ready(system: System) -> bool:
    return (await system.api.get("/health/ready")).status_code == 503


async def _ready(system: System) -> bool:
    return (await system.api.get("/health/ready")).status_code == 200


async def _passed(since_s: float, seconds: float) -> bool:
    return time.monotonic() - since_s >= seconds
