"""Ports: free ones for servers of our own, and a clear word about one that is taken."""

import random
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

# Below the range from which Linux takes ports for outgoing connections (32768 and up, ip_local_port_range): a server
# that is down for a moment then never finds its port taken by a client that kept trying to reach it.
LOWEST_PORT = 20_000
HIGHEST_PORT = 32_000
MAX_TRIES = 1_000


@dataclass(frozen=True, slots=True)
class PortNeed:
    """A port that something is about to listen on.

    Attributes:
        port: 1..65535.
        needed_by: what will listen, for a person: "the API".
        variable: the environment variable that changes the port.
        host: address to listen on.
    """

    port: int
    needed_by: str
    variable: str
    host: str = "127.0.0.1"


class PortTaken(Exception):
    """A port that is needed is taken; the message names it, what needs it and how to change it."""


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. Connections that linger after a server's end do not count."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody uses or holds, chosen at random so that two runs seldom meet.

    Raises:
        PortTaken: none found in a thousand tries.
    """
    with held_ports(count) as ports:
        return ports


@contextmanager
def held_ports(count: int) -> Iterator[list[int]]:
    """As `free_ports`, and nobody else is given them meanwhile, although the server that they are for may be down.

    The sockets that hold them are bound and do not listen: connecting is refused, and a server that allows the reuse
    of addresses (asyncio's, uvicorn's and RabbitMQ's do) can listen there as often as it likes.

    Raises:
        PortTaken: none found in a thousand tries.
    """
    held: list[int] = []
    with ExitStack() as sockets:
        for _ in range(MAX_TRIES):
            if len(held) == count:
                break
            port = random.randint(LOWEST_PORT, HIGHEST_PORT)
            holding = sockets.enter_context(socket.socket())
            try:
                holding.bind(("127.0.0.1", port))
            except OSError:
                holding.close()
                continue
            # Only now: with it, binding would succeed beside somebody else who holds the port.
            holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.append(port)
        if len(held) < count:
            raise PortTaken(f"found no {count} free ports between {LOWEST_PORT} and {HIGHEST_PORT}")
        yield held


def refuse_taken(needs: Iterable[PortNeed]) -> None:
    """Make sure that every port is free and wanted once.

    Raises:
        PortTaken: the first that is not.
    """
    wanted: dict[int, PortNeed] = {}
    for need in needs:
        other = wanted.setdefault(need.port, need)
        if other is not need:
            raise PortTaken(
                f"port {need.port} is wanted twice, by {other.needed_by} and by {need.needed_by}: "
                f"choose another with {need.variable}=PORT"
            )
        if not is_free(need.port, need.host):
            raise PortTaken(
                f"port {need.port}, which {need.needed_by} needs, is taken: "
                f"stop what listens there, or choose another with {need.variable}=PORT"
            )
