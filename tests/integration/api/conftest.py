"""One API for most of these tests, over a database and a virtual host of its own, and a store to look behind it."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from shared.domain.message import FAILED
from shared.store.store import Store
from tests.integration.api.planned import plan, running_mailing
from tests.integration.api.running import new_client, running_api
from tests.support.isolation import fresh_database, fresh_vhost


@pytest.fixture(scope="session")
def api_amqp_url(amqp_url: str, management_url: str) -> Iterator[str]:
    with fresh_vhost(amqp_url, management_url) as url:
        yield url


@pytest.fixture(scope="session")
def api_database(mongo_url: str) -> Iterator[str]:
    with fresh_database(mongo_url) as name:
        yield name


@pytest.fixture(scope="session")
async def api(api_amqp_url: str, mongo_url: str, api_database: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API that these tests share."""
    async with running_api(api_amqp_url, mongo_url, api_database) as client:
        yield client


@pytest.fixture(scope="session")
async def store(mongo_url: str, api_database: str, api: httpx.AsyncClient) -> AsyncIterator[Store]:
    """The store of the shared API."""
    store = Store(mongo_url, api_database)
    yield store
    store.close()


@pytest.fixture(scope="session")
async def ids(api: httpx.AsyncClient, store: Store) -> AsyncIterator[dict[str, int]]:
    """A client, a mailing that runs and a message, for what is wrong to be about something that is there."""
    mailing = await running_mailing(store)
    client = await new_client(api)
    [message_id] = await plan(store, mailing, [FAILED], client_ids=[client["id"]])
    yield {"client_id": client["id"], "mailing_id": mailing.id, "message_id": message_id}
