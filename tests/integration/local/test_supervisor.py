"""Given programs under supervision, one that dies is started again soon, and nothing outlives a stop or a crash."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.leftovers import end_marked, marked_processes
from deploy.local.program import ROOT, Program, Stage
from deploy.local.readiness import wait_until
from deploy.local.supervisor import Supervisor

TELL = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} {os.environ[\"ODD\"]}'); "
WAITS = TELL + "time.sleep(600)"
DIES_AT_ONCE = TELL + "sys.exit(3)"
IGNORES_A_STOP = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS
STARTS_A_SYSTEM = """
import pathlib, sys, time
from deploy.local.supervisor import Supervisor
from tests.integration.local.test_supervisor import a_program
folder = pathlib.Path(sys.argv[1])
Supervisor(folder, [a_program("service", folder)], {}).start()
time.sleep(600)
"""
ODD = "a 'b' \"c\" 100% $HOME"
SOON_S = 5


def a_program(name: str, folder: Path, script: str = WAITS, stage: Stage = Stage.SERVICES) -> Program:
    command = (sys.executable, "-c", script, str(folder / f"{name}.pid"))
    return Program(name, command, stage, {"ODD": ODD}, stop_wait_s=2)


def wait_for_pid(folder: Path, name: str, *, other_than: int = 0) -> int:
    """The pid that the program wrote last."""

    def read() -> int:
        written = folder / f"{name}.pid"
        return int(written.read_text().partition(" ")[0] or 0) if written.exists() else 0

    wait_until(lambda: read() not in (0, other_than), name, timeout_s=SOON_S, alive=lambda: True)
    return read()


def wait_until_nothing_runs(folder: Path) -> None:
    wait_until(lambda: not marked_processes(folder), "the end of everything", timeout_s=SOON_S, alive=lambda: True)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """With a space and a percent sign in its name, as folders of people have."""
    path = tmp_path / "50% of it"
    path.mkdir()
    yield path
    end_marked(path, patience_s=0)


def test_a_killed_program_is_started_again_with_the_same_environment(folder: Path) -> None:
    # Given two programs at work
    supervisor = Supervisor(folder, [a_program("one", folder), a_program("two", folder, stage=Stage.SERVERS)], {})
    supervisor.start()
    for name in ("one", "two"):
        first = wait_for_pid(folder, name)
        assert (folder / f"{name}.pid").read_text() == f"{first} {ODD}"

        # When one is killed, then it is there again within 5 s, and once more after the next time
        os.kill(first, signal.SIGKILL)
        second = wait_for_pid(folder, name, other_than=first)
        os.kill(second, signal.SIGKILL)
        wait_for_pid(folder, name, other_than=second)

    # When all is stopped, then nothing is left
    supervisor.stop()
    assert marked_processes(folder) == []
    assert not supervisor.is_running


def test_a_program_that_cannot_run_is_tried_again_and_again(folder: Path) -> None:
    # Given a program that dies at once, more often than a supervisor would by itself put up with
    supervisor = Supervisor(folder, [a_program("service", folder, DIES_AT_ONCE)], {})
    supervisor.start()
    pid = 0
    for _ in range(5):
        # Then the next try comes within 5 s
        pid = wait_for_pid(folder, "service", other_than=pid)
    supervisor.stop()
    assert marked_processes(folder) == []


def test_a_program_that_will_not_stop_is_killed(folder: Path) -> None:
    supervisor = Supervisor(folder, [a_program("stubborn", folder, IGNORES_A_STOP)], {})
    supervisor.start()
    wait_for_pid(folder, "stubborn")
    began_s = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began_s < 2 + SOON_S
    assert marked_processes(folder) == []


def test_nothing_outlives_a_killed_supervisor(folder: Path) -> None:
    supervisor = Supervisor(folder, [a_program("service", folder)], {})
    supervisor.start()
    wait_for_pid(folder, "service")
    os.kill(int((folder / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until_nothing_runs(folder)
    supervisor.stop()


def test_nothing_outlives_whoever_started_the_supervisor(folder: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTS_A_SYSTEM, str(folder)], cwd=ROOT)
    wait_for_pid(folder, "service")
    starter.kill()
    starter.wait()
    wait_until_nothing_runs(folder)
