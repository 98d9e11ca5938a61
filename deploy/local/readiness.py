"""Readiness: waiting for a server to answer, never longer than a limit."""

import socket
import time
from collections.abc import Callable

import httpx

POLL_S = 0.1
START_LIMIT_S = 240
"""Longest wait for a server that was started. A RabbitMQ node boots on 8 s of CPU; beside others on a slow machine that
is over a minute.
"""


class NotReady(Exception):
    """A server did not answer in time, or ended before it did."""


def wait_until(answers: Callable[[], bool], what: str, *, timeout_s: float, alive: Callable[[], bool]) -> None:
    """Ask again and again until the answer is yes.

    Args:
        answers: the question; must itself take no more than some seconds.
        what: what is waited for, for a person.
        timeout_s: longest wait.
        alive: whether waiting still makes sense.

    Raises:
        NotReady: the limit has passed, or nothing is alive any more.
    """
    deadline_s = time.monotonic() + timeout_s
    while not answers():
        if not alive():
            raise NotReady(f"{what} ended before it answered")
        if time.monotonic() >= deadline_s:
            raise NotReady(f"{what} did not answer within {timeout_s:g} s")
        time.sleep(POLL_S)


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def answers_ok(url: str, *, credentials: tuple[str, str] | None = None) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return httpx.get(url, auth=credentials, timeout=3, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
