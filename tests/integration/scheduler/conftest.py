"""Fixtures of the scheduler's tests: one virtual host and one database for a whole module, emptied for each test."""

import importlib
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from services.scheduler.tools import Tools
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.sender.planting import Planting, planting
from tests.support.isolation import fresh_database, fresh_vhost

PART = 8
QUEUES = ("messages.send", "messages.dead", "scheduler.wakeups")
COLLECTIONS = ("clients", "mailings", "messages", "outcomes", "state")


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> Iterator[None]:
    """Tracebacks as the services log them. Those that structlog draws by default take seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.dev.ConsoleRenderer(colors=False)])
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several parts to a chunk."""
    monkeypatch.setattr(importlib.import_module("services.scheduler.fan_out"), "PART_CLIENTS", PART)


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
    """Store and broker, with nothing in them."""
    await module_world.empty(QUEUES)
    for collection in COLLECTIONS:
        await module_world.documents[collection].delete_many({})
    return module_world


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def hands(world: Planting, clock: MovableClock) -> Hands:
    """A scheduler whose parts a test moves by hand."""
    return Hands.of(world, clock)


@pytest.fixture
def tools(hands: Hands) -> Tools:
    return hands.tools
