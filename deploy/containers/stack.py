"""A stack: one compose project, from its build to the last of its volumes."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.containers.engine import ASK_LIMIT_S, Engine, run
from deploy.containers.variables import DEPLOY, SECRETS, Variables

COMPOSE_FILE = DEPLOY / "docker-compose.yml"
PROJECT = "mailrun"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"

BUILD_LIMIT_S = 1_200.0
"""Longest build: the packages are fetched by the first one. Seconds."""
START_LIMIT_S = 300.0
"""Longest start: compose itself waits for broker and store to be healthy before the rest. Seconds."""
DOWN_LIMIT_S = 240.0
"""Longest wait for everything to stop and go: above the longest stop_grace_period. Seconds."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine describes it.

    Attributes:
        document: the answer of `docker inspect`.
    """

    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["Name"]).lstrip("/")

    @property
    def service(self) -> str:
        return str(self.document["Config"]["Labels"].get(SERVICE_LABEL, self.name))

    @property
    def state(self) -> str:
        """`healthy`, `starting` or `unhealthy` of a running one, else `exited`, `restarting`, and so on."""
        state = self.document["State"]
        if state["Status"] != "running":
            return str(state["Status"])
        return str(state.get("Health", {}).get("Status", "running"))

    @property
    def restarts(self) -> int:
        """How often it was started again since it was made."""
        return int(self.document["RestartCount"])

    def published_port(self, port: int) -> tuple[str, int] | None:
        """Address and port on this machine of a TCP port inside; None when it is not published."""
        bindings = (self.document["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp")
        return (bindings[0]["HostIp"], int(bindings[0]["HostPort"])) if bindings else None


@dataclass(frozen=True, slots=True)
class Stack:
    """One compose project.

    Attributes:
        engine: where it runs.
        variables: what its compose file is filled in with.
        project: its name, which containers, networks and volumes begin with.
        with_fake_provider: whether the profile `demo` is on.
    """

    engine: Engine
    variables: Variables
    project: str = PROJECT
    with_fake_provider: bool = False

    def build(self) -> None:
        """Build the image of the services.

        Raises:
            CommandFailed: it cannot be built, or takes longer than 20 minutes.
        """
        self._compose("build", "api", limit_s=BUILD_LIMIT_S)

    def start(self, *, senders: int, schedulers: int) -> None:
        """Start everything, from images that are here; does not wait for health.

        Raises:
            CommandFailed: a container cannot be started, or broker and store are not healthy in time.
        """
        if not self.with_fake_provider:
            self._compose("rm", "--stop", "--force", "fake-provider", limit_s=ASK_LIMIT_S * 2, demo=True)
        scales = ("--scale", f"sender={senders}", "--scale", f"scheduler={schedulers}")
        self._compose("up", "--detach", "--no-build", *scales, limit_s=START_LIMIT_S)

    def containers(self) -> list[Container]:
        """All containers of the project, stopped ones included, by name.

        Raises:
            CommandFailed: the engine does not answer.
        """
        ids = self._ids("ps", "--all", "--quiet")
        if not ids:
            return []
        documents = json.loads(run(["docker", "inspect", "--type", "container", *ids], limit_s=ASK_LIMIT_S))
        return sorted((Container(document) for document in documents), key=lambda container: container.name)

    def last_lines(self, container: Container, lines: int) -> str:
        """The end of a container's log.

        Raises:
            CommandFailed: the engine does not answer.
        """
        command = ["docker", "logs", "--tail", str(lines), container.name]
        return run(command, limit_s=ASK_LIMIT_S, both_streams=True)

    def follow_logs(self) -> int:
        """Show the logs of all containers as they come, until Ctrl-C; the status of the command."""
        command = [*self._command(demo=True), "logs", "--follow", "--tail", "100"]
        try:
            return subprocess.run(command, env=self._environment(), check=False).returncode
        except KeyboardInterrupt:
            return 0

    def take_down(self, *, volumes: bool) -> None:
        """Stop and remove containers and networks, and the volumes where that is asked for.

        Whatever compose leaves, as containers of a service that the file no longer has, is removed by its label.

        Raises:
            CommandFailed: something cannot be removed, or takes longer than 4 minutes.
        """
        options = ("--remove-orphans", *(("--volumes",) if volumes else ()))
        self._compose("down", *options, limit_s=DOWN_LIMIT_S, demo=True)
        kinds = [("ps --all", "rm --force --volumes"), ("network ls", "network rm")]
        if volumes:
            kinds.append(("volume ls", "volume rm"))
        for listing, removal in kinds:
            left = self._ids(*listing.split(), "--quiet")
            if left:
                run(["docker", *removal.split(), *left], limit_s=DOWN_LIMIT_S)

    def volumes(self) -> list[str]:
        """Names of the project's volumes.

        Raises:
            CommandFailed: the engine does not answer.
        """
        return self._ids("volume", "ls", "--quiet")

    def _ids(self, *listing: str) -> list[str]:
        filtered = ("--filter", f"label={PROJECT_LABEL}={self.project}")
        return run(["docker", *listing, *filtered], limit_s=ASK_LIMIT_S).split()

    def _command(self, *, demo: bool) -> list[str]:
        command = [*self.engine.compose, "--project-name", self.project, "--file", str(COMPOSE_FILE)]
        if self.variables.env_file.exists():
            command += ["--env-file", str(self.variables.env_file)]
        return [*command, "--profile", "demo"] if demo else command

    def _compose(self, *arguments: str, limit_s: float, demo: bool | None = None) -> str:
        command = self._command(demo=self.with_fake_provider if demo is None else demo)
        return run([*command, *arguments], limit_s=limit_s, environment=self._environment())

    def _environment(self) -> dict[str, str]:
        # The file asks for the secrets whatever is done with it; looking and taking down need none.
        missing = {name: "none" for name in SECRETS if not self.variables.value(name)}
        return {**self.variables.environment, **missing}
