"""One server outside the supervisor, for tests: started, killed, started again as the test says."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.leftovers import end_marked, mark_of
from deploy.local.program import Program, bound_to_parent
from deploy.local.readiness import START_LIMIT_S, NotReady, wait_until

LOG_TAIL_LINES = 30


class PrivateServer:
    """A server process that ends with the process that started it, even when that is killed.

    The subclasses say what is run; ports and data stay the same over a restart.
    """

    def __init__(self, program: Program, folder: Path, is_ready: Callable[[], bool]) -> None:
        """Nothing runs yet.

        Args:
            program: what to run.
            folder: of this server alone; its log is written there, and its processes are known by it.
            is_ready: whether it answers.
        """
        self._program = program
        self._folder = folder
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file that holds all it wrote."""
        return self._folder / f"{self._program.name}.log"

    @property
    def pid(self) -> int:
        """Of the server itself.

        Raises:
            RuntimeError: it is not running.
        """
        if self._process is None:
            raise RuntimeError(f"{self._program.name} is not running")
        return self._process.pid

    def start(self, *, timeout_s: float = START_LIMIT_S) -> None:
        """Start it and wait until it answers.

        Raises:
            NotReady: it did not within the limit; the message ends with its last lines.
        """
        self.spawn()
        self.wait_until_ready(timeout_s=timeout_s)

    def spawn(self) -> None:
        """Start it without waiting.

        Raises:
            RuntimeError: it runs already, or this is not the main thread (the kernel ends the server together with the
                thread that started it).
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("servers are started from the main thread alone: they end with the thread")
        if self._process is not None and self._process.poll() is None:
            raise RuntimeError(f"{self._program.name} is running already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_parent(self._program.command),
                env=os.environ | self._program.environment | mark_of(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for the tests, which then stop their servers
            )

    def wait_until_ready(self, *, timeout_s: float = START_LIMIT_S) -> None:
        """Wait until it answers; may be called from any thread.

        Raises:
            NotReady: it did not within the limit; the message ends with its last lines.
        """
        process = self._process
        try:
            wait_until(
                self._is_ready,
                self._program.name,
                timeout_s=timeout_s,
                alive=lambda: process is not None and process.poll() is None,
            )
        except NotReady as error:
            tail = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if self.log.exists() else []
            raise NotReady("\n".join((str(error), *tail))) from error

    def stop(self) -> None:
        """Ask it to stop, and wait; killed when it takes longer than it may. Nothing happens when it is not running."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(self._program.stop_wait_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._end_all()

    def kill(self) -> None:
        """kill -9, as a crash would. Nothing happens when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._end_all()

    def _end_all(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None
        end_marked(self._folder, patience_s=0)  # what it had started for itself ends a moment later by itself

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
