"""Store or broker away: the API goes on as far as it can, says so, and is whole again when they come back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import aio_pika
import httpx
import pytest

from shared.broker.topology import ExchangeName
from tests.integration.api.proxy import Proxy, proxy_to
from tests.integration.api.running import assert_problem, is_ready, new_client, new_mailing, new_phone, running_api
from tests.support.eventually import eventually

MAILINGS = "/api/v1/mailings"
MAILING = {"text": "Hello", "audience": {"tags": ["nobody"]}}
AWAY_LIMIT_S = 5.0
"""The driver looks for a server for 3 s; the rest is for a busy machine."""


@pytest.fixture
async def store_way(mongo_url: str) -> AsyncIterator[Proxy]:
    """A way to the store, cut to begin with."""
    async with proxy_to(*address_of(mongo_url, 27_017)) as proxy:
        yield proxy


@pytest.fixture
async def broker_way(amqp_url: str) -> AsyncIterator[Proxy]:
    """A way to the broker, cut to begin with."""
    async with proxy_to(*address_of(amqp_url, 5_672)) as proxy:
        yield proxy


def address_of(url: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or default_port


def through(proxy: Proxy, url: str) -> str:
    """The address of the same server by way of a proxy."""
    parts = urlsplit(url)
    credentials, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy.port}"))


async def dependencies(api: httpx.AsyncClient) -> dict[str, str]:
    answer = await api.get("/health/ready")
    told = answer.json()
    assert (answer.status_code == 200) == (told["status"] == "ready")
    states: dict[str, str] = told["dependencies"]
    assert set(states) == {"store", "broker"}
    assert (answer.status_code == 200) == (set(states.values()) == {"up"})
    return states


async def assert_store_unavailable(api: httpx.AsyncClient) -> None:
    """Every kind of request is answered 503, soon, and says when to come again."""
    requests = (
        api.get("/api/v1/clients"),
        api.get("/api/v1/statistics"),
        api.post("/api/v1/clients", json={"phone": new_phone()}),
        api.post(MAILINGS, json=MAILING, headers={"Idempotency-Key": new_phone()}),
        api.patch(f"{MAILINGS}/1", json={"text": "x"}),
        api.post(f"{MAILINGS}/1/pause"),
        api.delete("/api/v1/clients/1"),
    )
    began_s = time.monotonic()
    for answer in await asyncio.gather(*requests):
        assert_problem(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - began_s < AWAY_LIMIT_S


async def test_an_api_that_starts_without_its_store_waits_for_it(
    vhost_amqp_url: str, mongo_url: str, database: str, store_way: Proxy
) -> None:
    url = through(store_way, mongo_url)
    async with running_api(vhost_amqp_url, url, database, wait_until_ready=False) as api:
        # Given an API that was started while the store was away
        assert (await api.get("/health/live")).status_code == 200
        await eventually(lambda: says(api, broker="up"), "the broker up")
        assert (await dependencies(api))["store"] != "up"
        await assert_store_unavailable(api)
        # When the store comes
        await store_way.mend()
        # Then the API is ready, without anybody's help
        await eventually(lambda: is_ready(api), "the API ready", within_s=20)
        phone = (await new_client(api))["phone"]
        assert_problem(await api.post("/api/v1/clients", json={"phone": phone}), 409, "phone_taken")


async def test_an_api_whose_store_goes_away_goes_on_when_it_comes_back(
    vhost_amqp_url: str, mongo_url: str, database: str, store_way: Proxy
) -> None:
    await store_way.mend()
    async with running_api(vhost_amqp_url, through(store_way, mongo_url), database) as api:
        client = await new_client(api)
        # When the store goes away
        await store_way.cut()
        # Then the API lives, says what is away, and refuses for now
        await eventually(lambda: says(api, store="away"), "the store known to be away", within_s=10)
        assert (await api.get("/health/live")).status_code == 200
        await assert_store_unavailable(api)
        # And when it comes back, all is as it was
        await store_way.mend()
        await eventually(lambda: is_ready(api), "the API ready", within_s=20)
        assert (await api.get(f"/api/v1/clients/{client['id']}")).json() == client


async def test_a_request_that_the_store_may_have_taken_can_be_repeated_with_its_key(
    vhost_amqp_url: str, mongo_url: str, database: str, store_way: Proxy
) -> None:
    await store_way.mend()
    async with running_api(vhost_amqp_url, through(store_way, mongo_url), database) as api:
        headers = {"Idempotency-Key": "the same"}
        # Given many requests with one key, while the store goes and comes
        for _ in range(5):
            asking = [asyncio.create_task(api.post(MAILINGS, json=MAILING, headers=headers)) for _ in range(3)]
            await store_way.cut()
            await store_way.mend()
            assert {(await one).status_code for one in asking} <= {201, 409, 503}
        # Then at most one mailing came of it
        await eventually(lambda: is_ready(api), "the API ready", within_s=20)
        assert len((await api.get(MAILINGS)).json()["items"]) <= 1


async def test_a_broker_that_is_away_neither_fails_nor_delays_a_request(
    vhost_amqp_url: str, mongo_url: str, database: str, broker_way: Proxy
) -> None:
    url = through(broker_way, vhost_amqp_url)
    async with running_api(url, mongo_url, database, wait_until_ready=False) as api:
        await eventually(lambda: says(api, store="up", broker="away"), "the store up and the broker known to be away")
        durations_s: list[float] = []
        for _ in range(20):
            began_s = time.monotonic()
            mailing = await new_mailing(api, start_at="2040-01-01T00:00:00Z")
            assert (await api.post(f"{MAILINGS}/{mailing['id']}/pause")).status_code == 200
            durations_s.append(time.monotonic() - began_s)
        assert sorted(durations_s)[len(durations_s) // 2] < 1.0
        await broker_way.mend()
        await eventually(lambda: is_ready(api), "the API ready", within_s=20)


async def test_what_happens_to_mailings_is_told_to_whoever_listens(
    vhost_amqp_url: str, mongo_url: str, database: str
) -> None:
    async with running_api(vhost_amqp_url, mongo_url, database) as api:
        connection = await aio_pika.connect(vhost_amqp_url)
        async with connection:
            # Given somebody who listens
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(ExchangeName.MAILINGS, "mailing.#")
            # When a mailing is drafted, launched, edited, paused, resumed, cancelled and deleted
            draft = await new_mailing(api, start_at="2040-01-01T00:00:00Z", draft=True)
            path = f"{MAILINGS}/{draft['id']}"
            await api.post(f"{path}/launch", headers={"X-Request-ID": "mine"})
            await api.patch(path, json={"text": "Bye"})
            await api.patch(path, json={"text": "Bye"})
            for action in ("pause", "pause", "resume", "cancel", "cancel"):
                await api.post(f"{path}/{action}")
            await api.delete(path)
            # Then each change is told once, in order, and a draft is nobody's business
            events = []
            async with asyncio.timeout(30), queue.iterator() as messages:
                async for message in messages:
                    events.append((message.routing_key, json.loads(message.body)))
                    if message.routing_key == "mailing.deleted.v1":
                        break
    kinds = ["scheduled", "updated", "paused", "resumed", "cancelled", "deleted"]
    assert sorted(key for key, _ in events) == sorted(f"mailing.{kind}.v1" for kind in kinds)
    assert {body["mailing_id"] for _, body in events} == {draft["id"]}
    assert [body["request_id"] for key, body in events if key == "mailing.scheduled.v1"] == ["mine"]


async def test_events_wait_for_the_broker_up_to_a_bound(
    vhost_amqp_url: str, mongo_url: str, database: str, broker_way: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.events.MAX_WAITING", 3)
    await broker_way.mend()
    async with running_api(through(broker_way, vhost_amqp_url), mongo_url, database) as api:
        # Given a broker that has gone away, and more events than may wait
        await broker_way.cut()
        await eventually(lambda: says(api, broker="away"), "the broker known to be away")
        created = [await new_mailing(api, start_at="2040-01-01T00:00:00Z") for _ in range(10)]
        # When it comes back
        await broker_way.mend()
        # Then those that waited reach the scheduler's queue, and nobody was kept waiting for the others
        connection = await aio_pika.connect(vhost_amqp_url)
        async with connection:
            queue = await (await connection.channel()).get_queue("scheduler.wakeups")
            told: list[int] = []

            async def has_come() -> bool:
                while message := await queue.get(no_ack=True, fail=False):
                    told.append(json.loads(message.body)["mailing_id"])
                return len(told) >= 3

            await eventually(has_come, "the events that waited", within_s=30)
        assert set(told) < {mailing["id"] for mailing in created}


async def says(api: httpx.AsyncClient, **expected: str) -> bool:
    states = await dependencies(api)
    return all(states[name].startswith(state) for name, state in expected.items())
