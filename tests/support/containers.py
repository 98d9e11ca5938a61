"""Broker and store as containers, by testcontainers, where a Docker engine can start them."""

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import docker
import pymongo
from docker.errors import DockerException, ImageNotFound, NotFound
from pymongo.errors import OperationFailure
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.local.readiness import answers_ok, wait_until

BROKER_IMAGE = "rabbitmq:4-management"
STORE_IMAGE = "mongo:8"
USER = "mailrun"
ENGINE_TIMEOUT_S = 10
PULL_LIMIT_S = 60
READY_LIMIT_S = 60
OWNER_LABEL = "mailrun.tests.owner"
COMMAND_NOT_FOUND = 59
ALREADY_INITIALISED = 23

# The containers are removed by us, below; the reaper's image is one more that would have to be pulled.
testcontainers_config.ryuk_disabled = True


@cache
def why_no_containers() -> str | None:
    """What stands in the way of containers, for a person; None when nothing does.

    An image that is not there is pulled, but not for longer than a minute for each.
    """
    try:
        engine = docker.from_env(timeout=ENGINE_TIMEOUT_S)
        engine.ping()
    except DockerException as error:
        return f"no Docker engine answers ({error})"
    with closing(engine):
        for image in (BROKER_IMAGE, STORE_IMAGE):
            if obstacle := _pull_if_missing(engine, image):
                return obstacle
        _remove_orphans(engine)
    return None


@contextmanager
def broker_container() -> Iterator[tuple[str, str]]:
    """RabbitMQ; yields its AMQP address and that of its management API, both with user and password."""
    password = secrets.token_hex(8)
    container = DockerContainer(BROKER_IMAGE).with_kwargs(labels=_owner()).with_exposed_ports(5672, 15672)
    container.with_envs(RABBITMQ_DEFAULT_USER=USER, RABBITMQ_DEFAULT_PASS=password)
    with container:
        amqp, management = _address(container, 5672), _address(container, 15672)
        wait_until(
            lambda: answers_ok(
                f"http://{management}/api/health/checks/port-listener/5672", credentials=(USER, password)
            ),
            "the broker in a container",
            timeout_s=READY_LIMIT_S,
            alive=lambda: container.status != "exited",
        )
        yield f"amqp://{USER}:{password}@{amqp}/", f"http://{USER}:{password}@{management}"


@contextmanager
def store_container() -> Iterator[str]:
    """MongoDB as a replica set of one, since transactions and change streams need a replica set; yields its address."""
    container = DockerContainer(STORE_IMAGE).with_kwargs(labels=_owner()).with_exposed_ports(27017)
    container.with_command(["--replSet", "rs0", "--bind_ip_all"])
    with container:
        mongo_url = f"mongodb://{_address(container, 27017)}/?directConnection=true"
        with pymongo.MongoClient(mongo_url, serverSelectionTimeoutMS=READY_LIMIT_S * 1_000) as client:
            _initiate(client)
            wait_until(
                lambda: client.admin.command("hello").get("isWritablePrimary", False),
                "the store in a container",
                timeout_s=READY_LIMIT_S,
                alive=lambda: container.status != "exited",
            )
        yield mongo_url


def _initiate(client: pymongo.MongoClient) -> None:
    """Make the server a replica set of one; a compatible server that is one by itself knows no such command."""
    members = [{"_id": 0, "host": "127.0.0.1:27017"}]
    try:
        client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
    except OperationFailure as error:
        if error.code not in (COMMAND_NOT_FOUND, ALREADY_INITIALISED):
            raise


def _pull_if_missing(engine: docker.DockerClient, image: str) -> str | None:
    """Make sure of an image; what stands in the way, or None."""
    failures: list[DockerException] = []

    def pull() -> None:
        try:
            engine.images.pull(image)
        except DockerException as error:
            failures.append(error)

    try:
        engine.images.get(image)
    except ImageNotFound:
        puller = threading.Thread(target=pull, daemon=True)
        puller.start()
        puller.join(PULL_LIMIT_S)
        if puller.is_alive():
            return f"the image {image} was not pulled within {PULL_LIMIT_S} s"
    return f"the image {image} cannot be pulled ({failures[0]})" if failures else None


def _address(container: DockerContainer, port: int) -> str:
    """Host and port that lead to a port of the container."""
    host = container.get_container_host_ip()
    # An engine maps IPv4 and IPv6 to ports that may differ; the one that it tells first is that of IPv4.
    return f"{'127.0.0.1' if host == 'localhost' else host}:{container.get_exposed_port(port)}"


def _owner() -> dict[str, str]:
    """The label of our containers: whose they are."""
    return {OWNER_LABEL: f"{socket.gethostname()}/{os.getpid()}"}


def _remove_orphans(engine: docker.DockerClient) -> None:
    """Remove containers of test sessions of this machine that were killed before they could do it themselves."""
    for container in engine.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        host, _, pid = container.labels[OWNER_LABEL].partition("/")
        if host == socket.gethostname() and not Path(f"/proc/{pid}").exists():
            with suppress(NotFound):  # another session was quicker
                container.remove(force=True, v=True)
