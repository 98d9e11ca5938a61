"""Given a mailing that runs, when queues are deleted or purged, or all is wiped, then it completes all the same."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.local.rabbit import PrivateRabbit
from tests.e2e.agreement import accepted_phones, assert_agreement
from tests.e2e.at_the_broker import QUEUES, READ_EVERY_S, Broker
from tests.e2e.system import Audience, System, from_now, running_system
from tests.support.eventually import eventually
from tests.support.isolation import fresh_vhost

SETTINGS = {
    "PROVIDER_TIMEOUT_S": "10",
    "PROVIDER_CONCURRENCY": "16",
    "SENDER_MAX_ATTEMPTS": "4",
    "SCHEDULER_MEND_AFTER_S": "5",
    "SCHEDULER_DEAD_LETTERS_AFTER_S": "3",
}
CLIENTS = 300
REFUSED = 30  # for good: these become dead letters
PUT_OFF = 20  # refused once, and so in the ladder for a while
RATE_PER_S = 10.0  # half a minute, longer than the blows
BETWEEN_S = 2.0
COMPLETED_WITHIN_S = 240.0  # after the last blow; claims that outlive take a minute, forgotten consumers half a one

pytestmark = pytest.mark.timeout(540)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[PrivateRabbit]:
    """A node of the system's package, RabbitMQ 3.10 on Debian 12, for one test alone."""
    with PrivateRabbit(tmp_path) as node:
        yield node


def of_node(node: PrivateRabbit) -> Broker:
    return Broker(node.amqp_url, node.management_url.replace("://", "://{}:{}@".format(*node.credentials)))


@pytest.fixture(params=["the session's broker", "the system's package"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A virtual host of either."""
    if request.param == "the session's broker":
        whole = Broker(request.getfixturevalue("amqp_url"), request.getfixturevalue("management_url"))
    else:
        whole = of_node(request.getfixturevalue("node"))
    with fresh_vhost(whole.amqp_url, whole.management_url) as amqp_url:
        yield Broker(amqp_url, whole.management_url)


Running = Callable[[Broker], Any]


@pytest.fixture
def running(mongo_url: str, database: str, tmp_path: Path) -> Running:
    """A system over a broker."""

    @asynccontextmanager
    async def start(broker: Broker) -> AsyncIterator[System]:
        async with running_system(
            tmp_path, broker.amqp_url, mongo_url, database, senders=2, schedulers=2, settings=SETTINGS
        ) as system:
            yield system

    return start


@pytest.mark.parametrize("how", ["deleted", "purged"])
async def test_each_queue_is_emptied_while_a_mailing_runs(broker: Broker, running: Running, how: str) -> None:
    async def one_after_the_other() -> None:
        for queue in QUEUES:
            await (broker.delete_queue(queue) if how == "deleted" else broker.purge_queue(queue))
            await asyncio.sleep(BETWEEN_S)

    async with running(broker) as system:
        await prove_that_it_completes(system, broker, one_after_the_other)


async def test_all_queues_are_deleted_at_once(broker: Broker, running: Running) -> None:
    async def at_once() -> None:
        for _ in range(3):
            await asyncio.gather(*map(broker.delete_queue, QUEUES))
            await asyncio.sleep(BETWEEN_S)

    async with running(broker) as system:
        await prove_that_it_completes(system, broker, at_once)


async def test_the_virtual_host_is_deleted_and_made_anew(broker: Broker, running: Running) -> None:
    async with running(broker) as system:
        await prove_that_it_completes(system, broker, broker.recreate_vhost)


async def test_the_brokers_disk_is_wiped(node: PrivateRabbit, running: Running, tmp_path: Path) -> None:
    async def wipe() -> None:
        node.kill()
        shutil.rmtree(tmp_path / "data")
        node.spawn()
        await asyncio.to_thread(node.wait_until_ready)

    broker = of_node(node)
    async with running(broker) as system:
        await prove_that_it_completes(system, broker, wipe)


async def prove_that_it_completes(system: System, broker: Broker, blow: Callable[[], Awaitable[None]]) -> None:
    # Given a mailing that runs, with messages in every queue that there is
    audience = await system.make_audience(CLIENTS)
    mailing = await system.make_mailing(
        audience, rate_per_s=RATE_PER_S, start_at=from_now(seconds=5), end_at=from_now(minutes=30)
    )
    await system.set_faults(*faults(audience))
    await system.until(mailing, "running", sent=10, failed=1)

    # When it is struck
    await blow()

    # Then it completes, and everybody got what the provider let him have, once
    await system.until(mailing, "completed", within_s=COMPLETED_WITHIN_S)
    calls = await assert_agreement(system, mailing, audience)
    messages = await system.messages(mailing["id"])
    accepted = accepted_phones(calls)
    assert (
        set(accepted) == {one["phone"] for one in messages if one["status"] == "sent"} == set(audience.phones[REFUSED:])
    )
    ambiguous = {one["phone"] for one in messages if one["ambiguous"]}
    assert {phone for phone, times in accepted.items() if times > 1} <= ambiguous

    # And the dead letters are those of the messages that were refused, and no others
    dead = sorted((one["id"], one["reason"]) for one in messages if one["status"] in ("failed", "unknown"))
    assert len(dead) == REFUSED

    async def exact() -> bool:
        return await broker.letters() == dead

    await eventually(exact, "the dead letters are true", within_s=120, every_s=READ_EVERY_S)

    async def whole() -> bool:
        return not await broker.missing_queues()

    await eventually(whole, "all queues declared again", within_s=120, every_s=READ_EVERY_S)

    # And the system works as before
    again = await system.make_audience(40)
    await system.set_faults()
    next_one = await system.make_mailing(again)
    await system.until(next_one, "completed", within_s=60, sent=40)
    await assert_agreement(system, next_one, again)


def faults(audience: Audience) -> list[dict[str, Any]]:
    refused = [int(phone) for phone in audience.phones[:REFUSED]]
    put_off = [int(phone) for phone in audience.phones[REFUSED : REFUSED + PUT_OFF]]
    return [
        {"kind": "status", "code": 400, "for_phones": refused},
        *({"kind": "status", "code": 429, "for_phones": [phone], "times": 1} for phone in put_off),
        {"kind": "slow", "delay_s": 0.2},
    ]
