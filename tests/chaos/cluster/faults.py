"""Faults: how a node is lost, and how it is brought back."""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.containers.engine import run
from tests.chaos.cluster.nodes import Cluster, Node

ACT_LIMIT_S = 90.0
"""Longest wait for the engine to do it, seconds: a node that is asked to stop takes its time."""
STOP_LIMIT_S = 60
SILENT_S = 45.0
"""Above what net_ticktime in rabbitmq.conf allows both sides to notice, and to look for each other. Seconds."""
CLIENTS, PEERS = "clients", "peers"


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to lose a node.

    Attributes:
        name: on the command line.
        told: for a person.
        strike: does it.
        heal: takes it back.
        lasts_s: for how long at least, seconds: where no connection ends, the other nodes notice only after a while.
    """

    name: str
    told: str
    strike: Callable[[Cluster, Node], None]
    heal: Callable[[Cluster, Node], None]
    lasts_s: float = 0.0


def _docker(*command: str) -> Callable[[Cluster, Node], None]:
    return lambda cluster, node: _act(*command, cluster.container(node))


def _act(*command: str) -> None:
    run(["docker", *command], limit_s=ACT_LIMIT_S)


def _disconnect(*networks: str) -> Callable[[Cluster, Node], None]:
    def act(cluster: Cluster, node: Node) -> None:
        for network in networks:
            _act("network", "disconnect", cluster.network(network), cluster.container(node))

    return act


def _connect(*networks: str) -> Callable[[Cluster, Node], None]:
    def act(cluster: Cluster, node: Node) -> None:
        for network in networks:
            alias = ("--alias", node.host) if network == PEERS else ()
            _act("network", "connect", *alias, cluster.network(network), cluster.container(node))

    return act


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("kill", "killed (-9)", _docker("kill"), _docker("start")),
        Fault("stop", "stopped", _docker("stop", "--time", str(STOP_LIMIT_S)), _docker("start")),
        Fault("cut", "cut off from nodes and clients", _disconnect(PEERS, CLIENTS), _connect(CLIENTS, PEERS), SILENT_S),
        Fault("split", "cut off from the other nodes alone", _disconnect(PEERS), _connect(PEERS), SILENT_S),
    )
}
