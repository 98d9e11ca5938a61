"""Rate: how many calls may start per second. A bucket of tokens that holds little, so calls are evenly paced.

The limit of all senders together is divided by how many they are, which the broker knows. A refusal for too many calls
(429, `Retry-After`) halves the rate in force, once per round trip, and it recovers by the same amount each second.
Without a limit, the rate is then that of the calls that were really finished, halved, and there is none again when it
has come to a multiple of what was refused.

Pure: whoever asks says what time it is, in seconds of a clock that never goes back.
"""

import math
from collections import deque
from dataclasses import dataclass

BURST_S = 0.05  # a sender that was kept from calling makes up for so much of it at once, and a timer for being late
RECOVER_S = 10.0  # from nothing to the ceiling
LEAST_SHARE = 1 / 64  # of the ceiling: the rate never falls below
NO_LIMIT_AT = 4.0  # times what was refused: whoever takes that, refused for another reason
CEILING_KEPT = 0.75  # at each further refusal: one round trip of many must not make it seem within reach
LOOKS_BEFORE_FIRST = 3  # so long the others take to see that one more has come
LOOKS_KEPT = 6  # the most of them counts: whoever begins to consume anew is not gone


@dataclass(frozen=True, slots=True)
class Cut:
    """A rate that was halved and recovers.

    Attributes:
        at_s: when; calls that were under way by then say nothing new.
        per_s: what was left of it.
        ceiling_per_s: where it ends.
        recovers_from_s: until then it stays: the end of the pause that the provider asked for.
    """

    at_s: float
    per_s: float
    ceiling_per_s: float
    recovers_from_s: float

    def rate_at(self, now_s: float) -> float:
        return self.per_s + self.ceiling_per_s / RECOVER_S * max(0.0, now_s - self.recovers_from_s)


class Rate:
    """One sender's part of the limit."""

    def __init__(self, limit_per_s: float | None) -> None:
        """`limit_per_s`: of all senders together; None for no limit."""
        self._limit_per_s = limit_per_s
        self._looks: deque[int] = deque(maxlen=LOOKS_KEPT)
        self._share_per_s = None if limit_per_s is None else 0.0  # nothing before it is known how many share it
        self._cut: Cut | None = None
        self._tokens = 1.0 if limit_per_s is None else 0.0
        self._filled_at_s: float | None = None

    @property
    def is_shared(self) -> bool:
        """Whether there is a limit, so that the number of senders matters."""
        return self._limit_per_s is not None

    def see_senders(self, count: int) -> None:
        """Note how many consume the send queue now, this one among them."""
        self._looks.append(max(1, count))
        if self._limit_per_s is not None and len(self._looks) >= LOOKS_BEFORE_FIRST:
            self._share_per_s = self._limit_per_s / max(self._looks)

    def per_s(self, now_s: float) -> float | None:
        """Calls per second that may start; None for any number."""
        if self._cut is None:
            return self._share_per_s
        per_s = self._cut.rate_at(now_s)
        ceiling_per_s = self._cut.ceiling_per_s if self._share_per_s is None else self._share_per_s
        if per_s >= ceiling_per_s:
            self._cut = None
            return self._share_per_s
        return per_s

    def admit(self, now_s: float) -> bool:
        """Whether a call may start now; if so, it is counted."""
        if self._cut is None and self._share_per_s is None:
            return True
        if self._fill(now_s) == math.inf:
            return True
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def wait_s(self, now_s: float) -> float:
        """Seconds until a call may start; infinite when nothing is known of the other senders yet."""
        per_s = self._fill(now_s)
        if self._tokens >= 1.0 or per_s == math.inf:
            return 0.0
        return (1.0 - self._tokens) / per_s if per_s else math.inf

    def startable(self, now_s: float, *, within_s: float) -> float:
        """How many calls may start within so many seconds; infinite without a limit."""
        per_s = self._fill(now_s)
        return math.inf if per_s == math.inf else math.floor(self._tokens + per_s * within_s)

    def cut(self, now_s: float, *, started_at_s: float, pause_s: float, finished_per_s: float) -> None:
        """The provider says that there are too many calls: halve the rate, and let it recover.

        Args:
            started_at_s: when the call began that was refused.
            pause_s: how long the provider is left alone from now.
            finished_per_s: calls that ended in the last second, or are about to: what the rate is taken for when there
                is none.
        """
        if self._cut is not None and started_at_s <= self._cut.at_s:
            return
        before_per_s = self.per_s(now_s)
        if before_per_s is None:
            before_per_s = max(1.0, finished_per_s)
        if before_per_s == 0.0:
            return  # a call of before its share was known
        ceiling_per_s = self._share_per_s or NO_LIMIT_AT * before_per_s
        if self._share_per_s is None and self._cut is not None:
            ceiling_per_s = max(ceiling_per_s, CEILING_KEPT * self._cut.ceiling_per_s)
        halved_per_s = max(ceiling_per_s * LEAST_SHARE, before_per_s / 2)
        self._fill(now_s)
        self._tokens = min(self._tokens, 1.0)
        self._cut = Cut(now_s, halved_per_s, ceiling_per_s, now_s + pause_s)

    def _fill(self, now_s: float) -> float:
        """Add the tokens of the time that has passed; the rate in force, infinite for none."""
        per_s = self.per_s(now_s)
        passed_s = 0.0 if self._filled_at_s is None else max(0.0, now_s - self._filled_at_s)
        self._filled_at_s = now_s
        if per_s is None:
            self._tokens = 1.0
            return math.inf
        self._tokens = min(1.0 + per_s * BURST_S, self._tokens + per_s * passed_s)
        return per_s
