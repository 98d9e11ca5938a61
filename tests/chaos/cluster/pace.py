"""Pace: what the times of accepted calls say of the time after a fault."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from math import inf

BEFORE_S = 5
"""So many seconds before the fault are what the pace is compared with."""
MOST = 0.9
"""The share of the calls that is looked at: the last ones thin out in any mailing."""


def longest_silence_s(accepted_at: Sequence[datetime], struck_at: datetime) -> float:
    """The longest time after a fault in which no call was accepted, seconds; infinite when there was none after it.

    Args:
        accepted_at: when each accepted call arrived, ascending.
    """
    looked_at = accepted_at[: int(len(accepted_at) * MOST)]
    instants = [struck_at, *(at for at in looked_at if at > struck_at)]
    return max(((later - earlier).total_seconds() for earlier, later in pairwise(instants)), default=inf)


def slow_until_s(accepted_at: Sequence[datetime], struck_at: datetime) -> int:
    """The end of the last whole second after a fault with fewer than half of the calls of before, seconds after it.

    Args:
        accepted_at: when each accepted call arrived, ascending.
    """
    looked_at = accepted_at[: int(len(accepted_at) * MOST)]
    since_s = [(at - struck_at).total_seconds() for at in looked_at]

    def count(from_s: float, to_s: float) -> int:
        return bisect_left(since_s, to_s) - bisect_left(since_s, from_s)

    before_per_s = count(-BEFORE_S, 0) / BEFORE_S
    whole_seconds = int(since_s[-1]) if since_s else 0
    return max(
        (second + 1 for second in range(whole_seconds) if count(second, second + 1) < before_per_s / 2), default=0
    )
