"""Following: what the services write, line by line, each with the name of its process before it."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

POLL_S = 0.2
MAX_LINE_BYTES = 1_048_576


class LogFollower:
    """Prints the lines that are added to log files from now on, over a rotation too."""

    def __init__(self, logs: Mapping[str, Path], out: TextIO) -> None:
        """
        Args:
            logs: file of each process by its name; one may not exist yet.
            out: where lines go.
        """
        self._logs = [_GrowingFile(name, path) for name, path in logs.items()]
        self._width = max(len(name) for name in logs)
        self._out = out
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Print what is left to print, and end."""
        self._ending.set()
        self._thread.join(timeout=5)

    def _follow(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(POLL_S)
            for log in self._logs:
                for line in log.new_lines():
                    print(f"{log.name:<{self._width}} | {line}", file=self._out)
            self._out.flush()


class _GrowingFile:
    """A log file, read from where it ended when we came."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._rest = b""
        self._file: BinaryIO | None = path.open("rb") if path.exists() else None
        if self._file:
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> list[str]:
        """Complete lines added since the last call; one longer than 1 MiB comes in pieces."""
        lines: list[str] = []
        if self._file:
            lines += self._read(self._file)
        if not self._path.exists():
            return lines
        if self._file is None:
            self._file = self._path.open("rb")
            lines += self._read(self._file)
        elif not os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):  # the log was rotated
            lines += self._read(self._file)  # what was added before the rotation and after the read above
            self._file.close()
            self._file = self._path.open("rb")
            lines += self._read(self._file)
        return lines

    def _read(self, file: BinaryIO) -> list[str]:
        lines: list[bytes] = []
        while added := file.read(MAX_LINE_BYTES):
            *complete, self._rest = (self._rest + added).split(b"\n")
            lines += complete
            if len(self._rest) > MAX_LINE_BYTES:
                lines.append(self._rest)
                self._rest = b""
        return [line.decode(errors="replace") for line in lines]
