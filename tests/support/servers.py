"""The broker and the store that tests use, and how they come to be.

What the environment names is used (`AMQP_URL`, `MONGO_URL`); else containers, where a Docker engine can start them;
else private servers of this machine. `TEST_SERVERS=containers|local` leaves no choice. A server that cannot be had is
a failure, never a reason to skip.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.rabbit import PrivateRabbit
from deploy.local.store import EmbeddedStore
from shared.addresses import one_address_each
from tests.support.containers import broker_container, store_container, why_no_containers

MANAGEMENT_PORT = 15_672


class ServerMissing(Exception):
    """No broker or no store can be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A RabbitMQ broker.

    Attributes:
        amqp_url: where to connect, user and password included.
        management_url: its management API, up to before "/api", user and password included.
        told: what it is, for a person.
    """

    amqp_url: str
    management_url: str
    told: str


@dataclass(frozen=True, slots=True)
class Store:
    """A MongoDB store.

    Attributes:
        mongo_url: where to connect.
        told: what it is, for a person.
    """

    mongo_url: str
    told: str


@contextmanager
def broker() -> Iterator[Broker]:
    """A broker, gone afterwards unless the environment named it.

    Raises:
        ServerMissing: `TEST_SERVERS` asks for what cannot be.
        RabbitMissing: there is neither a Docker engine nor the system's package.
        NotReady: it did not start.
    """
    if named := os.environ.get("AMQP_URL"):
        named, *_ = one_address_each(named)  # tests look at one node; of a cluster, at the first
        yield Broker(named, os.environ.get("MANAGEMENT_URL") or _management_of(named), "named by AMQP_URL")
    elif use_containers():
        with broker_container() as (amqp_url, management_url):
            yield Broker(amqp_url, management_url, "a container")
    else:
        with _own_folder("rabbitmq") as folder, PrivateRabbit(folder) as node:
            user, password = node.credentials
            management_url = node.management_url.replace("://", f"://{user}:{password}@")
            yield Broker(node.amqp_url, management_url, "a private node of this machine")


@contextmanager
def store() -> Iterator[Store]:
    """A store, gone afterwards unless the environment named it.

    Raises:
        ServerMissing: `TEST_SERVERS` asks for what cannot be.
        NotReady: it did not start.
    """
    if named := os.environ.get("MONGO_URL"):
        yield Store(named, "named by MONGO_URL")
    elif use_containers():
        with store_container() as mongo_url:
            yield Store(mongo_url, "a container")
    else:
        with _own_folder("store") as folder, EmbeddedStore(folder) as server:
            yield Store(server.mongo_url, "the embedded store of this machine")


@cache
def use_containers() -> bool:
    """Whether containers are used for what the environment does not name; decided once.

    Raises:
        ServerMissing: `TEST_SERVERS` asks for what cannot be.
    """
    asked = os.environ.get("TEST_SERVERS") or "either"
    if asked not in ("containers", "local", "either"):
        raise ServerMissing(f"TEST_SERVERS is {asked!r}, and may be: containers, local")
    if asked == "local":
        return False
    obstacle = why_no_containers()
    if obstacle and asked == "containers":
        raise ServerMissing(f"TEST_SERVERS asks for containers, but {obstacle}")
    return obstacle is None


def told_in_advance() -> str:
    """What is known of the choice before any server is needed."""
    asked = os.environ.get("TEST_SERVERS")
    others = f"{asked}, as TEST_SERVERS says" if asked else "a container or a private server, decided when first needed"
    broker = "named by AMQP_URL" if os.environ.get("AMQP_URL") else others
    store = "named by MONGO_URL" if os.environ.get("MONGO_URL") else others
    return f"broker: {broker}; store: {store}"


@contextmanager
def _own_folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"mailrun-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _management_of(amqp_url: str) -> str:
    """Where the management API of a broker usually is: the same host and user, port 15672."""
    parts = urlsplit(amqp_url)
    credentials = parts.netloc.rpartition("@")[0] or "guest:guest"
    return f"http://{credentials}@{parts.hostname or '127.0.0.1'}:{MANAGEMENT_PORT}"
