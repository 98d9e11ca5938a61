"""CPU and memory of processes, as the kernel counts them (Linux)."""

import os
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KILOBYTES_PER_MEGABYTE = 1_024


def cpu_s(pid: int) -> float:
    """CPU that a process and all its descendants have used so far, seconds; ended children count in their parent."""
    total = 0.0
    for one in [pid, *descendants(pid)]:
        fields = _stat(one)
        total += sum(int(field) for field in fields[11:15]) / TICKS_PER_S if fields else 0.0
    return total


def peak_memory_mb(pid: int) -> float:
    """The most memory that a process has had resident so far, megabytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / KILOBYTES_PER_MEGABYTE
    raise ProcessLookupError(pid)


def descendants(pid: int) -> list[int]:
    """The processes below one, at any depth."""
    below: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                below += [int(child), *descendants(int(child))]
    except OSError:  # it has ended meanwhile
        pass
    return below


def _stat(pid: int) -> list[str]:
    """The fields after the name in /proc/PID/stat; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
