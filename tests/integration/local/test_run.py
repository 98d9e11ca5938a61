"""Given `make run`, its parts answer, whatever dies is started again, and a stop leaves nothing but the data."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from deploy.local.leftovers import end_marked, marked_processes
from deploy.local.ports import free_ports
from deploy.local.program import ROOT
from deploy.local.readiness import START_LIMIT_S, answers_ok, listens, wait_until

AGAIN_WITHIN_S = 5
STOP_LIMIT_S = 60
PORTS = ("API_PORT", "RABBITMQ_PORT", "RABBITMQ_MANAGEMENT_PORT", "STORE_PORT", "FAKE_PROVIDER_PORT")


class LocalRun:
    """`python -m deploy.local run` with a data folder and ports of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.folder = data / "run"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.out = data / "out"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        # What a machine's environment may name is not to be met here.
        inherited = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_PORT"))}
        if self._process is not None:
            self._process.wait(STOP_LIMIT_S)
        with self.out.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local", "run", "--data", str(self.data)],
                cwd=ROOT,
                env=inherited | {name: str(port) for name, port in self.ports.items()} | environment,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self._process

    def wait_until_announced(self) -> None:
        process = self._process
        assert process is not None
        announced = f"http://127.0.0.1:{self.ports['API_PORT']}/docs"
        wait_until(
            lambda: announced in self.told(),
            "the system",
            timeout_s=START_LIMIT_S,
            alive=lambda: process.poll() is None,
        )

    @property
    def pid(self) -> int:
        """Of the run itself."""
        assert self._process is not None
        return self._process.pid

    def told(self) -> str:
        """All that it has printed."""
        return self.out.read_text(errors="replace")

    def pids_of(self, part: str) -> set[int]:
        """The processes of which one argument ends so."""
        found = set()
        for pid in marked_processes(self.folder):
            with suppress(FileNotFoundError):  # ended in the meantime
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if any(argument.endswith(part.encode()) for argument in arguments):
                    found.add(pid)
        return found


@pytest.fixture
def local_run(tmp_path: Path) -> Iterator[LocalRun]:
    """One that is not started yet."""
    local_run = LocalRun(tmp_path)
    yield local_run
    end_marked(local_run.folder, patience_s=0)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    """One that runs, with two senders."""
    system = LocalRun(tmp_path_factory.mktemp("system"))
    system.start(SENDERS="2")
    system.wait_until_announced()
    yield system
    end_marked(system.folder, patience_s=0)


def wait_shortly(answers: Callable[[], bool], what: str, *, timeout_s: float = AGAIN_WITHIN_S) -> None:
    wait_until(answers, what, timeout_s=timeout_s, alive=lambda: True)


def is_replaced(local_run: LocalRun, part: str, count: int, killed: int) -> bool:
    pids = local_run.pids_of(part)
    return len(pids) == count and killed not in pids


def test_its_parts_are_told_and_answer(system: LocalRun) -> None:
    assert answers_ok(f"http://127.0.0.1:{system.ports['API_PORT']}/health/live")
    (management,) = [line for line in system.told().splitlines() if line.startswith("RabbitMQ management")]
    _, _, url, _, user, _, password = management.split()
    assert answers_ok(f"{url}/api/overview", credentials=(user, password))


def test_a_second_run_of_the_same_data_is_refused(system: LocalRun) -> None:
    second = LocalRun(system.data)
    second.out = system.data / "second"
    assert second.start().wait(START_LIMIT_S) == 1
    (line,) = second.told().splitlines()
    assert f"process {system.pid} runs here already" in line


@pytest.mark.parametrize(
    ("part", "count", "port"),
    [
        ("services.api", 1, "API_PORT"),
        ("services.scheduler", 1, None),
        ("services.sender", 2, None),
        ("services.fake_provider", 1, "FAKE_PROVIDER_PORT"),
        ("secantusd-py", 1, "STORE_PORT"),
        ("beam.smp", 1, "RABBITMQ_PORT"),
    ],
)
def test_what_dies_is_started_again_within_5_s(system: LocalRun, part: str, count: int, port: str | None) -> None:
    killed = min(system.pids_of(part))
    os.kill(killed, signal.SIGKILL)
    wait_shortly(partial(is_replaced, system, part, count, killed), f"another {part}")
    if port is not None:
        wait_shortly(partial(listens, system.ports[port]), f"{part}, listening", timeout_s=START_LIMIT_S)


def test_a_killed_run_leaves_nothing_and_is_gone_on_with(system: LocalRun) -> None:
    # Given a run that is killed before it can stop anything
    os.kill(system.pid, signal.SIGKILL)

    # When another is started at once, then it waits for what is left of the first, and comes up
    again = system.start()
    system.wait_until_announced()

    # And when it is asked to stop, it does so in time, with status 0, and keeps nothing but the data
    again.terminate()
    assert again.wait(STOP_LIMIT_S) == 0
    assert marked_processes(system.folder) == []
    assert (system.folder / "ledger.jsonl").exists()


def test_a_taken_port_is_told_before_anything_is_started(local_run: LocalRun) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", local_run.ports["FAKE_PROVIDER_PORT"]))
        listener.listen()
        assert local_run.start().wait(START_LIMIT_S) == 1
    (line,) = local_run.told().splitlines()
    assert "which the fake provider needs, is taken" in line
    assert "FAKE_PROVIDER_PORT=PORT" in line
    assert not (local_run.folder / "logs").exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("SENDERS", "17"), ("SCHEDULERS", "0"), ("API_PORT", "no"), ("AMQP_URL", "http://here")]
)
def test_a_wrong_value_is_told_with_its_variable(local_run: LocalRun, variable: str, value: str) -> None:
    assert local_run.start(**{variable: value}).wait(START_LIMIT_S) == 1
    (line,) = local_run.told().splitlines()
    assert variable in line
