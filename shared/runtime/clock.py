"""Clock: the only module that knows what time it is. Tests put another clock in its place."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """The instant, aware, UTC, whole milliseconds: what the store can hold."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some moment, never going back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1_000, UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()
