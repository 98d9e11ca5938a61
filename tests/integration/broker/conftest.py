"""Brokers of both kinds, and a watch over every test: no task may die unheard, and none may be left behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from deploy.local.rabbit import PrivateRabbit
from tests.support.eventually import eventually
from tests.support.isolation import fresh_vhost


@dataclass(frozen=True, slots=True)
class Vhost:
    """A virtual host of the test's own, and the management API that shows it."""

    amqp_url: str
    management_url: str

    @property
    def name(self) -> str:
        return self.amqp_url.rpartition("/")[2]


@pytest.fixture(scope="session")
def packaged_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    """A node of the system's package: RabbitMQ 3.10 on Debian 12, whatever the session's broker is."""
    with PrivateRabbit(tmp_path_factory.mktemp("packaged-node")) as node:
        yield node


@pytest.fixture
def vhost(vhost_amqp_url: str, management_url: str) -> Vhost:
    """A virtual host of the session's broker."""
    return Vhost(vhost_amqp_url, management_url)


@pytest.fixture(params=["the session's broker", "the system's package"])
def either_vhost(request: pytest.FixtureRequest) -> Iterator[Vhost]:
    """A virtual host of the session's broker, and then one of the system's package."""
    if request.param == "the session's broker":
        yield request.getfixturevalue("vhost")
        return
    node: PrivateRabbit = request.getfixturevalue("packaged_node")
    management_url = node.management_url.replace("://", "://{}:{}@".format(*node.credentials))
    with fresh_vhost(node.amqp_url, management_url) as amqp_url:
        yield Vhost(amqp_url, management_url)


@pytest.fixture(autouse=True)
async def nothing_dies_unheard() -> AsyncIterator[None]:
    """No "exception was never retrieved", and no task that outlives its test."""
    loop = asyncio.get_running_loop()
    unheard: list[str] = []
    loop.set_exception_handler(lambda _, context: unheard.append(f"{context['message']}: {context.get('exception')!r}"))
    before = asyncio.all_tasks()
    yield

    async def all_ended() -> bool:
        return not [task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()]

    try:
        await eventually(all_ended, "every task of the test has ended", within_s=30)
        gc.collect()
        await asyncio.sleep(0)
        assert unheard == []
    finally:
        loop.set_exception_handler(None)
