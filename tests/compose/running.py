"""A running stack: its containers, its API, the ledger of its provider, its broker's management."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import httpx

from deploy.containers.engine import find_engine, run
from deploy.containers.health import wait_until_healthy
from deploy.containers.stack import Container, Stack
from deploy.containers.variables import ENV_EXAMPLE, Variables

POLL_S = 0.2
REQUEST_LIMIT_S = 20.0
COMMAND_LIMIT_S = 90.0
HEALTHY_LIMIT_S = 90.0
LEDGER_PAGE_CALLS = 10_000
LOG_LINES = 10_000

T = TypeVar("T")


def eventually(read: Callable[[], T], holds: Callable[[T], bool], *, what: str, limit_s: float) -> T:
    """Read again and again until it holds; the value that does.

    Args:
        what: what is waited for, for the failure's message.
        limit_s: longest wait, seconds.

    Raises:
        AssertionError: it did not hold in time; with the last value.
    """
    deadline_s = time.monotonic() + limit_s
    while not holds(value := read()):
        assert time.monotonic() < deadline_s, f"{what}: not within {limit_s:g} s; last seen: {value!r}"
        time.sleep(POLL_S)
    return value


@dataclass
class RunningStack:
    """The stack that the environment names."""

    compose: Stack
    api: httpx.Client
    provider: httpx.Client
    management: httpx.Client
    _closing: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Find the stack by the variables that the suite's runner sets."""
        project = environment["MAILRUN_COMPOSE_PROJECT"]
        credentials = environment["MAILRUN_COMPOSE_RABBITMQ_USER"], environment["MAILRUN_COMPOSE_RABBITMQ_PASSWORD"]

        def client(address: str, path: str, auth: tuple[str, str] | None = None) -> httpx.Client:
            url = environment[address] + path
            return httpx.Client(base_url=url, auth=auth, timeout=REQUEST_LIMIT_S, trust_env=False)

        return cls(
            compose=Stack(find_engine(), Variables(ENV_EXAMPLE), project=project, with_fake_provider=True),
            api=client("MAILRUN_COMPOSE_API", "/api/v1"),
            provider=client("MAILRUN_COMPOSE_PROVIDER", ""),
            management=client("MAILRUN_COMPOSE_MANAGEMENT", "/api", credentials),
        )

    def __enter__(self) -> Self:
        for client in (self.api, self.provider, self.management):
            self._closing.enter_context(client)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def containers(self, service: str | None = None) -> list[Container]:
        """The containers, of one service or all."""
        return [each for each in self.compose.containers() if service in (None, each.service)]

    def docker(self, *arguments: str) -> str:
        """Run a docker command; what it wrote."""
        return run(["docker", *arguments], limit_s=COMMAND_LIMIT_S)

    def run_inside(self, container: Container, code: str) -> subprocess.CompletedProcess[str]:
        """Run a line of Python in a container of ours, as its own user."""
        command = ["docker", "exec", container.name, "python", "-c", code]
        return subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT_S, check=False)

    def log_of(self, container: Container) -> list[dict[str, Any]]:
        """The lines that a service of ours has logged."""
        lines = self.compose.last_lines(container, LOG_LINES).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_until_healthy(self) -> None:
        """Wait until every container is healthy."""
        wait_until_healthy(self.compose, limit_s=HEALTHY_LIMIT_S, tell=print)

    def start_stopped(self) -> None:
        """Start again what a test has stopped or killed."""
        stopped = [each.name for each in self.containers() if each.state == "exited"]
        if stopped:
            self.docker("start", *stopped)

    def set_latency_s(self, latency_s: float) -> None:
        """Let the provider take so long for each answer, without any fault."""
        self.provider.put("/faults", json={"latency_s": latency_s, "faults": []}).raise_for_status()

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Every call that the provider has received, oldest first."""
        after: int | None = 0
        while after is not None:
            page = self.provider.get("/ledger", params={"after": after, "limit": LEDGER_PAGE_CALLS})
            document = json.loads(page.raise_for_status().text)
            yield from document["entries"]
            after = document["next_after"]

    def accepted_calls(self) -> int:
        """How many calls the provider has accepted since it was started."""
        return int(self.provider.get("/ledger/summary").raise_for_status().json()["accepted"])
