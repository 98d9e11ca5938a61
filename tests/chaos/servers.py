"""Servers of a run: shared ones, of which it has a virtual host and a database, or its own, which it may kill."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.rabbit import PrivateRabbit
from deploy.local.server import PrivateServer
from deploy.local.store import EmbeddedStore
from shared.broker.topology import TOPOLOGY
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

WRITTEN_DOWN_WITHIN_S = 60.0


@dataclass(frozen=True)
class Shared:
    """Servers that many runs use: addresses, user and password included."""

    amqp_url: str
    management_url: str
    mongo_url: str


@dataclass(frozen=True)
class Servers:
    """What one run uses. `rabbit` and `store` are there when they are its own, and may be killed."""

    amqp_url: str
    management_url: str
    mongo_url: str
    database: str
    rabbit: PrivateRabbit | None = None
    store: EmbeddedStore | None = None

    def named(self, name: str) -> PrivateServer:
        """The server that a fault is about: "broker" or "store"."""
        server = self.rabbit if name == "broker" else self.store
        assert server is not None, f"the {name} is not this run's own"
        return server

    async def until_written_down(self) -> None:
        """Wait until a kill of the broker would lose no queue; see `PrivateRabbit.keeps_queue`."""
        rabbit = self.rabbit
        if rabbit is None:
            return

        async def all_kept() -> bool:
            return all(rabbit.keeps_queue(queue.name) for queue in TOPOLOGY.queues)

        await eventually(all_kept, "the broker has written its queues down", within_s=WRITTEN_DOWN_WITHIN_S)


@contextmanager
def shared_servers() -> Iterator[Shared]:
    """A broker and a store, as the tests have them."""
    with servers.broker() as broker, servers.store() as store:
        yield Shared(broker.amqp_url, broker.management_url, store.mongo_url)


@contextmanager
def part_of(shared: Shared) -> Iterator[Servers]:
    """A virtual host and a database of one's own; both gone afterwards."""
    with (
        fresh_vhost(shared.amqp_url, shared.management_url) as amqp_url,
        fresh_database(shared.mongo_url) as database,
    ):
        yield Servers(amqp_url, shared.management_url, shared.mongo_url, database)


@asynccontextmanager
async def own_servers(folder: Path) -> AsyncIterator[Servers]:
    """A private broker and store; gone afterwards, their data are left in the folder."""
    rabbit, store = PrivateRabbit(folder / "rabbitmq"), EmbeddedStore(folder / "store")
    user, password = rabbit.credentials
    management_url = rabbit.management_url.replace("://", f"://{user}:{password}@")
    try:
        for server in (rabbit, store):
            server.spawn()
        for server in (rabbit, store):
            await asyncio.to_thread(server.wait_until_ready)
        yield Servers(rabbit.amqp_url, management_url, store.mongo_url, "mailrun", rabbit, store)
    finally:
        rabbit.kill()
        store.kill()
