"""Health: waiting until every container of a stack is healthy, and saying which one is not."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from deploy.containers.engine import CommandFailed
from deploy.containers.stack import Container, Stack

HEALTHY_LIMIT_S = 180.0
"""Longest wait for all to be healthy; the health checks themselves give up after 90 s. Seconds."""
POLL_S = 1.0
MAX_RESTARTS = 5
"""A container that was started so often again and is not healthy will not become it."""
LOG_LINES_SHOWN = 15
CHECK_CHARACTERS_SHOWN = 300


class NotHealthy(Exception):
    """Not every container is healthy; the message names those that are not, with the end of their logs."""


def wait_until_healthy(stack: Stack, *, limit_s: float = HEALTHY_LIMIT_S, tell: Callable[[str], None]) -> None:
    """Wait until every container of the stack is healthy.

    Args:
        limit_s: longest wait, seconds.
        tell: is told what is still waited for, whenever that changes.

    Raises:
        NotHealthy: the limit has passed, or one has failed before.
        CommandFailed: the engine does not answer.
    """
    deadline_s = time.monotonic() + limit_s
    told = ""
    while True:
        containers = stack.containers()
        waiting = [container for container in containers if container.state != "healthy"]
        if containers and not waiting:
            return
        failed = [container for container in waiting if _has_failed(container)]
        if failed or time.monotonic() >= deadline_s:
            raise NotHealthy(describe(stack, failed or waiting))
        names = _count_services(waiting)
        if names != told:
            tell(f"waiting for {names}")
            told = names
        time.sleep(POLL_S)


def describe(stack: Stack, containers: Iterable[Container]) -> str:
    """What is wrong with each container: its state, its last health check, the end of its log."""
    parts = []
    for container in containers:
        part = [f"{container.name} is {container.state}"]
        checks = container.document["State"].get("Health", {}).get("Log") or []
        if checks and container.state != "healthy":
            said = " ".join(str(checks[-1]["Output"]).split())
            part.append(f"  its last health check said: {said[-CHECK_CHARACTERS_SHOWN:] or 'nothing'}")
        try:
            lines = stack.last_lines(container, LOG_LINES_SHOWN).splitlines()
        except CommandFailed as error:
            lines = [f"(its log cannot be read: {error})"]
        part.append("  the end of its log:")
        part += [f"    {line}" for line in lines or ["(empty)"]]
        parts.append("\n".join(part))
    return "\n".join(parts) or "there is no container"


def _has_failed(container: Container) -> bool:
    return container.state in ("unhealthy", "exited", "dead") or container.restarts >= MAX_RESTARTS


def _count_services(containers: Iterable[Container]) -> str:
    counted = Counter(container.service for container in containers)
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in sorted(counted.items()))
