"""Program: what is to be run, whoever runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Stage(IntEnum):
    """Programs of a lower stage start first and stop last."""

    SERVERS = 1
    PROVIDER = 2
    SERVICES = 3


@dataclass(frozen=True, slots=True)
class Program:
    """A process to be kept running.

    Attributes:
        name: in logs and file names; letters, digits and "-".
        command: program and arguments.
        stage: when it is started and stopped.
        environment: variables on top of the inherited ones.
        stop_signal: asks it to stop: "TERM", or "KILL" where nothing is worth keeping.
        stop_wait_s: longest wait for it to stop; then it is killed.
    """

    name: str
    command: tuple[str, ...]
    stage: Stage
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "TERM"
    stop_wait_s: int = 20


def bound_to_parent(command: tuple[str, ...], stop_signal: str = "KILL") -> tuple[str, ...]:
    """The same command, sent the signal by the kernel when the thread that started it ends, however it ends.

    Source: prctl(2), PR_SET_PDEATHSIG; kept over exec. `setpriv` is in util-linux, on every Debian and Ubuntu.
    """
    return ("setpriv", "--pdeathsig", stop_signal, "--", *command)
