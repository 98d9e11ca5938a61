"""Fixtures of the sender's tests: one virtual host, one database and one provider for a whole module.

What a test plants has ids of its own; what it leaves in the queues is taken out before the next one.
"""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import structlog

from tests.integration.broker.relay import Relay
from tests.integration.sender.planting import Planting, planting
from tests.integration.sender.running import Senders
from tests.integration.sender.store_relay import StoreRelay
from tests.support.isolation import fresh_database, fresh_vhost
from tests.unit.fake_provider.running import RunningProvider, set_faults, start_provider


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> Iterator[None]:
    """Tracebacks as the services log them. Those that structlog draws by default take seconds, and calls time out."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])
    yield
    structlog.reset_defaults()


QUEUES = ("messages.send", "messages.dead", *(f"messages.retry.{step}" for step in ("5s", "30s", "2m", "10m", "1h")))


@pytest.fixture(scope="module")
def module_amqp_url(amqp_url: str, management_url: str) -> Iterator[str]:
    with fresh_vhost(amqp_url, management_url) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(mongo_url: str) -> Iterator[str]:
    with fresh_database(mongo_url) as name:
        yield name


@pytest.fixture(scope="module")
async def module_world(module_amqp_url: str, mongo_url: str, module_database: str) -> AsyncIterator[Planting]:
    async with planting(module_amqp_url, mongo_url, module_database) as world:
        yield world


@pytest.fixture
async def world(module_world: Planting) -> Planting:
    """Store and broker, with nothing in the queues."""
    await module_world.empty(QUEUES)
    module_world.published = 0
    return module_world


@pytest.fixture(scope="module")
async def fake() -> AsyncIterator[RunningProvider]:
    provider = await start_provider()
    yield provider
    assert await provider.end() == 0


@pytest.fixture(scope="module")
async def module_control(fake: RunningProvider) -> AsyncIterator[aiohttp.ClientSession]:
    async with fake.connect() as session:
        yield session


@pytest.fixture
async def control(module_control: aiohttp.ClientSession) -> aiohttp.ClientSession:
    """The other side of the provider, which is sound and has been called by nobody."""
    await set_faults(module_control)
    async with module_control.delete("/ledger") as response:
        assert response.status < 300
    return module_control


@pytest.fixture(scope="module")
async def module_senders(module_amqp_url: str, module_world: Planting, fake: RunningProvider) -> AsyncIterator[Senders]:
    async with Senders.over(module_amqp_url, module_world.store, fake.address) as senders:
        yield senders


@pytest.fixture
async def senders(module_senders: Senders, world: Planting, control: aiohttp.ClientSession) -> Senders:
    return module_senders


@pytest.fixture
async def store_relay(mongo_url: str) -> AsyncIterator[StoreRelay]:
    async with StoreRelay(mongo_url) as relay:
        yield relay


@pytest.fixture
async def broker_relay(module_amqp_url: str) -> AsyncIterator[Relay]:
    async with Relay(module_amqp_url) as relay:
        yield relay
