"""Nodes: the cluster at work; made, looked at, removed."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from deploy.containers.engine import ASK_LIMIT_S, CommandFailed, Engine, run
from deploy.containers.stack import DOWN_LIMIT_S, PROJECT_LABEL, SERVICE_LABEL, START_LIMIT_S
from deploy.local.ports import free_ports
from deploy.local.readiness import NotReady
from shared.broker.topology import TOPOLOGY

COMPOSE_FILE = Path(__file__).with_name("compose.yml")
USER = "mailrun"
SERVICES = ("one", "two", "three")
LOOK_LIMIT_S = 15.0
"""Longest wait for one answer of a node's management, seconds: it asks the other nodes in its turn."""
WHOLE_LIMIT_S = 240.0
"""Longest wait until all nodes and all members of the queues are at work, seconds; 25 s were seen on two cores."""
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One of the nodes.

    Attributes:
        service: its name in the compose file.
        host: its name among the nodes.
        amqp_port, management_port: of this machine.
    """

    service: str
    host: str
    amqp_port: int
    management_port: int

    @property
    def name(self) -> str:
        return f"rabbit@{self.host}"


def _new_nodes() -> tuple[Node, ...]:
    ports = free_ports(2 * len(SERVICES))
    return tuple(
        Node(service, f"node{number}", *ports[2 * number - 2 : 2 * number])
        for number, service in enumerate(SERVICES, start=1)
    )


@dataclass(frozen=True)
class Cluster:
    """A compose project of three nodes; nothing is started by making one."""

    engine: Engine
    project: str = field(default_factory=lambda: f"mailrun-cluster-{secrets.token_hex(3)}")
    password: str = field(default_factory=lambda: secrets.token_hex(12))
    cookie: str = field(default_factory=lambda: secrets.token_hex(12).upper())
    nodes: tuple[Node, ...] = field(default_factory=_new_nodes)

    @property
    def amqp_url(self) -> str:
        """The address of all nodes."""
        hosts = ",".join(f"127.0.0.1:{node.amqp_port}" for node in self.nodes)
        return f"amqp://{USER}:{self.password}@{hosts}/"

    def network(self, name: str) -> str:
        """What the engine calls a network of the compose file."""
        return f"{self.project}_{name}"

    def container(self, node: Node) -> str:
        """The id of a node's container, whether it runs or not.

        Raises:
            CommandFailed: it has none, or the engine does not answer.
        """
        found = self._ids("ps", "--all", "--quiet", "--filter", f"label={SERVICE_LABEL}={node.service}")
        if not found:
            raise CommandFailed(f"{node.host} has no container")
        return found[0]

    def start(self) -> None:
        """Start the nodes; they need a while to find each other.

        Raises:
            CommandFailed: a container cannot be started.
        """
        self._compose("up", "--detach", limit_s=START_LIMIT_S)

    def remove(self) -> None:
        """Remove containers, networks and volumes, whatever state they are in.

        Raises:
            CommandFailed: something cannot be removed.
        """
        for container in self._ids("ps", "--quiet", "--filter", "status=paused"):
            run(["docker", "unpause", container], limit_s=ASK_LIMIT_S)
        self._compose("kill", limit_s=DOWN_LIMIT_S)
        self._compose("down", "--volumes", "--remove-orphans", limit_s=DOWN_LIMIT_S)
        for listing, removal in (("ps --all", "rm --force --volumes"), ("network ls", "network rm")):
            if left := self._ids(*listing.split(), "--quiet"):
                run(["docker", *removal.split(), *left], limit_s=DOWN_LIMIT_S)

    async def until_whole(self, *, queues: bool) -> None:
        """Wait until every node sees all of them at work and, where `queues` says so, each queue has a member on each.

        Raises:
            NotReady: it is not so within four minutes.
        """
        deadline_s = time.monotonic() + WHOLE_LIMIT_S
        while missing := await asyncio.to_thread(self._missing, queues=queues):
            if time.monotonic() > deadline_s:
                raise NotReady(f"the cluster was not whole within {WHOLE_LIMIT_S:g} s: {missing}")
            await asyncio.sleep(LOOK_EVERY_S)

    def leader_of(self, queue: str) -> Node:
        """The node on which the leader of a quorum queue is."""
        leader = self.ask(self.nodes[0], "GET", f"queues/%2F/{queue}")["leader"]
        return next(node for node in self.nodes if node.name == leader)

    def ask(self, node: Node, method: str, path: str) -> Any:
        """What a node's management answers.

        Raises:
            httpx.HTTPError: it does not, or it is an error.
        """
        answer = httpx.request(
            method,
            f"http://127.0.0.1:{node.management_port}/api/{path}",
            auth=(USER, self.password),
            timeout=LOOK_LIMIT_S,
            trust_env=False,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def save_logs(self, folder: Path) -> None:
        """Write the nodes' logs into files, as far as there are any."""
        for node in self.nodes:
            try:
                text = run(["docker", "logs", self.container(node)], limit_s=ASK_LIMIT_S, both_streams=True)
            except CommandFailed as error:
                text = f"{error}\n"
            (folder / f"{node.host}.log").write_text(text)

    def _missing(self, *, queues: bool) -> str | None:
        """What is not there yet; None when the cluster is whole."""
        for node in self.nodes:
            try:
                seen = self.ask(node, "GET", "nodes")
                running = {one["name"] for one in seen if one["running"]}
                if absent := {other.name for other in self.nodes} - running:
                    return f"{node.name} does not see {sorted(absent)}"
                for queue in TOPOLOGY.queues if queues else ():
                    online = self.ask(node, "GET", f"queues/%2F/{quote(queue.name)}").get("online") or []
                    if len(online) < len(self.nodes):
                        return f"{queue.name} is on {online} alone, says {node.name}"
            except (httpx.HTTPError, ValueError, KeyError) as error:
                return f"{node.name} does not answer: {error!r}"
        return None

    def _ids(self, *listing: str) -> list[str]:
        ours = ("--filter", f"label={PROJECT_LABEL}={self.project}")
        return run(["docker", *listing, *ours], limit_s=ASK_LIMIT_S).split()

    def _compose(self, *arguments: str, limit_s: float) -> None:
        command = [*self.engine.compose, "--project-name", self.project, "--file", str(COMPOSE_FILE), *arguments]
        environment = {**os.environ, "CLUSTER_PASSWORD": self.password, "CLUSTER_COOKIE": self.cookie}
        for number, node in enumerate(self.nodes, start=1):
            environment[f"AMQP_PORT_{number}"] = str(node.amqp_port)
            environment[f"MANAGEMENT_PORT_{number}"] = str(node.management_port)
        run(command, limit_s=limit_s, environment=environment)


@asynccontextmanager
async def running_cluster(engine: Engine, *, logs_to: Path) -> AsyncIterator[Cluster]:
    """Three nodes that found each other; removed at the end, with their logs kept when it is a bad one.

    Raises:
        CommandFailed: a container cannot be started or removed.
        NotReady: they did not become a cluster.
    """
    cluster = Cluster(engine)
    try:
        cluster.start()  # in this thread: an interruption ends it before anything is removed
        await cluster.until_whole(queues=False)
        yield cluster
    except BaseException:
        cluster.save_logs(logs_to)
        raise
    finally:
        cluster.remove()
