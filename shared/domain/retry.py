"""Retry ladder: how long a message waits between two attempts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryStep:
    """One rung: `name` is part of its queue's name, `delay_s` the wait in seconds."""

    name: str
    delay_s: int


LADDER: tuple[RetryStep, ...] = (
    RetryStep("5s", 5),
    RetryStep("30s", 30),
    RetryStep("2m", 120),
    RetryStep("10m", 600),
    RetryStep("1h", 3_600),
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
