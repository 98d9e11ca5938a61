"""Target: the node whose loss matters most: the send queue's leader is there, and a sender takes its work from it."""

import asyncio
import time
from typing import Any
from urllib.parse import quote

import httpx

from deploy.local.readiness import NotReady
from shared.broker.topology import SEND_QUEUE
from tests.chaos.cluster.nodes import LOOK_EVERY_S, Cluster, Node

MOVE_LIMIT_S = 90.0
"""Longest wait until a sender is on the leader's node, seconds: the management tells of a connection 5 s late."""


async def choose_target(cluster: Cluster) -> Node:
    """The node of the send queue's leader, as soon as a sender consumes from there.

    When none does, one is moved: its connection is closed, and it takes the next node.

    Raises:
        NotReady: no sender came there within the limit.
    """
    leader = await asyncio.to_thread(cluster.leader_of, SEND_QUEUE)
    closed: set[str] = set()
    deadline_s = time.monotonic() + MOVE_LIMIT_S
    while time.monotonic() < deadline_s:
        senders = await asyncio.to_thread(_of_senders, cluster)
        consuming = [one for one in senders if one["user_provided_name"].endswith("(consuming)")]
        if any(one["node"] == leader.name for one in consuming):
            return leader
        if others := [one["name"] for one in consuming if one["name"] not in closed]:
            await asyncio.to_thread(_close, cluster, others[0])
            closed.add(others[0])
        await asyncio.sleep(LOOK_EVERY_S)
    raise NotReady(f"no sender came to {leader.name} within {MOVE_LIMIT_S:g} s")


def sender_connections(cluster: Cluster, node: Node) -> tuple[int, int]:
    """How many connections of senders are on a node, and on all nodes together."""
    everywhere = _of_senders(cluster)
    return sum(one["node"] == node.name for one in everywhere), len(everywhere)


def _of_senders(cluster: Cluster) -> list[dict[str, Any]]:
    everyone = cluster.ask(cluster.nodes[0], "GET", "connections")
    return [one for one in everyone if one.get("user_provided_name", "").startswith("sender@")]


def _close(cluster: Cluster, name: str) -> None:
    try:
        cluster.ask(cluster.nodes[0], "DELETE", f"connections/{quote(name, safe='')}")
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:  # gone already: the list is some seconds old
            raise
