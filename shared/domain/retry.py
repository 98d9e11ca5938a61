"""Retry ladder: how long a message waits between two attempts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryStep:
    """One rung: `delay_s` is the wait, seconds."""

    delay_s: int

    @property
    def name(self) -> str:
        """The delay as part of its queue's name: 5s, 2m, 1h. Another delay so gets another queue, as it must."""
        for unit, seconds in (("h", 3_600), ("m", 60)):
            if self.delay_s % seconds == 0:
                return f"{self.delay_s // seconds}{unit}"
        return f"{self.delay_s}s"


LADDER: tuple[RetryStep, ...] = (
    RetryStep(5),
    RetryStep(30),
    RetryStep(120),
    RetryStep(600),
    RetryStep(3_600),
)
"""The whole retry schedule. Each step is a queue of its own: a TTL in one queue blocks behind longer ones."""

YOUNG_CLAIM_STEP = LADDER[1]
"""Where a command waits that found its message claimed a moment ago."""


def retry_step(attempt: int) -> RetryStep:
    """The step to wait in after an attempt failed.

    Args:
        attempt: 1-based number of the attempt that failed, counted from the last replay.

    Raises:
        ValueError: attempt is below 1.
    """
    if attempt < 1:
        raise ValueError(f"attempts are numbered from 1, this is {attempt}")
    return LADDER[min(attempt, len(LADDER)) - 1]
