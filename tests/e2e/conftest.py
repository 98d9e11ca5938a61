"""The system that most end-to-end tests share: two schedulers, three senders, a provider that times out after 2 s."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.system import System, running_system
from tests.support.isolation import fresh_database, fresh_vhost

SETTINGS = {
    "PROVIDER_TIMEOUT_S": "2",
    "PROVIDER_CONCURRENCY": "16",
    "SENDER_MAX_ATTEMPTS": "3",
    "SCHEDULER_DEAD_LETTERS_AFTER_S": "5",
}


@pytest.fixture(scope="session")
def session_vhost_amqp_url(amqp_url: str, management_url: str) -> Iterator[str]:
    with fresh_vhost(amqp_url, management_url) as url:
        yield url


@pytest.fixture(scope="session")
def session_database(mongo_url: str) -> Iterator[str]:
    with fresh_database(mongo_url) as name:
        yield name


@pytest.fixture(scope="session")
async def shared_system(
    session_vhost_amqp_url: str, mongo_url: str, session_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    folder: Path = tmp_path_factory.mktemp("system")
    async with running_system(folder, session_vhost_amqp_url, mongo_url, session_database, settings=SETTINGS) as system:
        yield system


@pytest.fixture
async def system(shared_system: System) -> AsyncIterator[System]:
    """The shared system, its provider without faults at the beginning and at the end."""
    await shared_system.set_faults()
    yield shared_system
    await shared_system.set_faults()
