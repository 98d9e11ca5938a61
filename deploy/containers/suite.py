"""Suite: tests/compose over a stack of its own, beside whatever else is running, and gone afterwards."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.containers.engine import CommandFailed, Engine, EngineMissing, find_engine
from deploy.containers.images import BUILD_IMAGES, RUN_IMAGES, ImageMissing, fetch_missing_images
from deploy.containers.published import API, FAKE_PROVIDER, MANAGEMENT, address_of
from deploy.containers.stack import COMPOSE_FILE, PROJECT, Stack
from deploy.containers.up import start_healthy
from deploy.containers.variables import DEPLOY, Variables, write_env_file
from deploy.local.ports import free_ports

ROOT = DEPLOY.parent
LOCAL = ROOT / ".local"
LOGS = LOCAL / "container-logs"

SENDERS = 3
SCHEDULERS = 2
PROVIDER_CONCURRENCY = 8
PULL_LIMIT_S = 300.0
TESTS_LIMIT_S = 600.0
"""Longest run of pytest; a healthy one takes a quarter of it. Seconds."""
LOCK_LIMIT_S = 600.0
LOG_LINES_KEPT = 5_000


def run_suite() -> int:
    """Decide whether the suite can run, say so, run it; the exit status.

    Without an engine, or without images that can be had, there is nothing to run and that is no failure. With them,
    whatever fails is one.

    Raises:
        CommandFailed: the build, the start or the end failed.
        NotHealthy: a container is not healthy in time.
    """
    try:
        engine = find_engine()
        fetch_missing_images((*RUN_IMAGES, *BUILD_IMAGES), limit_s=PULL_LIMIT_S)
    except (EngineMissing, ImageMissing) as error:
        _tell(f"container suite: NOT run, for want of a Docker engine that can start the stack: {error}")
        return 0
    _tell(f"container suite: run on Docker Engine {engine.version} with `{' '.join(engine.compose)}`")
    with _alone(), tempfile.TemporaryDirectory(prefix="mailrun-") as folder:
        return _run_on(_own_stack(engine, Path(folder)))


def _run_on(stack: Stack) -> int:
    started_s = time.monotonic()
    # What an earlier run left that was killed before it could clean up.
    stack.take_down(volumes=True)
    status = 1
    try:
        start_healthy(stack, senders=SENDERS, schedulers=SCHEDULERS, tell=_tell)
        status = _run_pytest(stack)
    finally:
        if status:
            _keep_logs(stack)
        stack.take_down(volumes=True)
        _tell(f"container suite: stack removed, {time.monotonic() - started_s:.0f} s in all")
    return status


def _run_pytest(stack: Stack) -> int:
    containers = stack.containers()
    environment = {
        **os.environ,
        "MAILRUN_COMPOSE_PROJECT": stack.project,
        "MAILRUN_COMPOSE_API": address_of(containers, API) or "",
        "MAILRUN_COMPOSE_PROVIDER": address_of(containers, FAKE_PROVIDER) or "",
        "MAILRUN_COMPOSE_MANAGEMENT": address_of(containers, MANAGEMENT) or "",
        "MAILRUN_COMPOSE_RABBITMQ_USER": stack.variables.value("RABBITMQ_USER"),
        "MAILRUN_COMPOSE_RABBITMQ_PASSWORD": stack.variables.value("RABBITMQ_PASSWORD"),
    }
    command = [sys.executable, "-m", "pytest", "tests/compose", "--durations=5"]
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=TESTS_LIMIT_S, check=False).returncode
    except subprocess.TimeoutExpired:
        _tell(f"container suite: the tests took longer than {TESTS_LIMIT_S:g} s")
        return 1


def _own_stack(engine: Engine, folder: Path) -> Stack:
    """A stack with name, ports, volumes and secrets of its own, whatever the environment says of another."""
    env_file = folder / "env"
    write_env_file(env_file)
    named_in_compose_file = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE.read_text(encoding="utf-8")))
    environment = {name: value for name, value in os.environ.items() if name not in named_in_compose_file}
    ports = free_ports(3)
    for published, port in zip((API, MANAGEMENT, FAKE_PROVIDER), ports, strict=True):
        environment[published.variable] = str(port)
    # Few calls at once, so that a mailing has a middle in which something can go wrong.
    environment["PROVIDER_CONCURRENCY"] = str(PROVIDER_CONCURRENCY)
    # One project for each checkout: a run that was killed is cleaned up by the next one.
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
    return Stack(
        engine, Variables(env_file, environment), project=f"{PROJECT}-test-{checkout}", with_fake_provider=True
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of this checkout: one suite at a time.

    Raises:
        CommandFailed: another one holds it for longer than 10 minutes.
    """
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "container-suite.lock").open("w") as lock:
        deadline_s = time.monotonic() + LOCK_LIMIT_S
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline_s:
                    raise CommandFailed("another container suite of this checkout does not end") from error
            if not told:
                _tell("container suite: waiting for another one of this checkout")
                told = True
            time.sleep(1)
        yield


def _keep_logs(stack: Stack) -> None:
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        for container in stack.containers():
            (LOGS / f"{container.name}.log").write_text(stack.last_lines(container, LOG_LINES_KEPT), encoding="utf-8")
    except CommandFailed as error:
        _tell(f"container suite: not all logs could be kept: {error}")
    _tell(f"container suite: the logs of the containers are in {LOGS.relative_to(ROOT)}/")


def _tell(line: str) -> None:
    print(line, flush=True)
