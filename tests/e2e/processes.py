"""Processes: services as operators start them, `python -m services.<name>`, with their logs in files."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from deploy.local.program import bound_to_parent

ROOT = Path(__file__).parents[2]
STOP_LIMIT_S = 30


class Process:
    """One service at work."""

    def __init__(
        self,
        name: str,
        service: str,
        folder: Path,
        environment: dict[str, str],
        *arguments: str,
        through: tuple[str, ...] = (),
    ) -> None:
        """`through`: a module that is run instead, and runs the service."""
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                bound_to_parent((sys.executable, "-m", *through, f"services.{service}", *arguments)),
                cwd=ROOT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait(STOP_LIMIT_S)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self._popen.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._popen.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """The exit status of a process that was told to stop."""
        return self._popen.wait(STOP_LIMIT_S)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        if self.is_running:
            self.terminate()
        return self.wait()

    def find_in_log(self, pattern: str, *, within_s: float = 30.0) -> re.Match[str]:
        """The first match in the log, as soon as there is one; fails when the process ends without it."""
        deadline = time.monotonic() + within_s
        while True:
            text = self.log.read_text(errors="replace")
            if match := re.search(pattern, text):
                return match
            if not self.is_running or time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: no {pattern!r} in its log:\n{text[-4_000:]}")
            time.sleep(0.05)
