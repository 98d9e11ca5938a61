"""Leftovers: one run at a time in a data folder, and nothing left of an earlier one that was cut off.

Every process of a run, those that servers start for themselves included, inherits a variable that names the data
folder. So whatever is left can be found and ended without pid files that go stale, and nobody else's process is hit.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK_VARIABLE = "MAILRUN_DATA_FOLDER"
POLL_S = 0.1
KILLED_WITHIN_S = 10


class AlreadyRunning(Exception):
    """Another run holds the data folder."""


def mark_of(folder: Path) -> dict[str, str]:
    """The variable that every process of the run carries."""
    return {MARK_VARIABLE: str(folder.resolve())}


def marked_processes(folder: Path) -> list[int]:
    """Pids of the processes that carry the folder's mark, this one left out."""
    wanted = f"{MARK_VARIABLE}={folder.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended in the meantime, or another user's
            continue
        if wanted in environment.split(b"\0"):
            found.append(int(entry.name))
    return found


def end_marked(folder: Path, *, patience_s: float) -> int:
    """End every process of the folder: asked first, killed when the patience has passed.

    Returns:
        How many there were.

    Raises:
        TimeoutError: some outlived even that.
    """
    found = marked_processes(folder)
    _signal_all(found, signal.SIGTERM if patience_s > 0 else signal.SIGKILL)
    deadline_s = time.monotonic() + patience_s
    while left := marked_processes(folder):
        if time.monotonic() >= deadline_s:
            _signal_all(left, signal.SIGKILL)
        if time.monotonic() >= deadline_s + KILLED_WITHIN_S:
            raise TimeoutError(f"processes {left} of {folder} cannot be ended")
        time.sleep(POLL_S)
    return len(found)


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the folder for one run; the kernel lets go when the process ends, however it ends.

    Raises:
        AlreadyRunning: another process holds it; the message names the process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "running.pid").open("a+", encoding="ascii") as holder:
        try:
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder.seek(0)
            raise AlreadyRunning(
                f"process {holder.read().strip() or '?'} runs here already, with the data in {folder}: stop it first"
            ) from error
        holder.truncate(0)
        holder.write(str(os.getpid()))
        holder.flush()
        yield


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
