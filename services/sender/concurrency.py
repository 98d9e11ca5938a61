"""Concurrency: how many calls may be under way at once, between one and the setting.

Signs of overload (no answer, 429, 5xx) lower it, at most once per round trip and per half second, by half of their
share among the calls that ended: all of them halve it, a tenth takes a twentieth. So a provider that is overloaded is
soon left with one call at a time, and one that merely fails now and then keeps what it can serve (the rule of Data
Center TCP, RFC 8257). Every other answer raises it again, by the same amount per second: after eight it is all there.

Pure: whoever tells says what time it is, in seconds of a clock that never goes back.
"""

ROUND_S = 0.5  # a round trip may be much shorter, and its few calls say little
RECOVER_S = 8.0  # from one call to the most
LONGEST_STEP_S = 1.0  # one answer after a long silence counts as a second of them


class Concurrency:
    """The limit in force. It begins with the most: a fast provider is fast from the first call on."""

    def __init__(self, most: int) -> None:
        """`most`: calls under way at once, at most."""
        self._most = most
        self._limit = float(most)
        self._raised_at_s = 0.0
        self._lowered_at_s = 0.0
        self._round_at_s = 0.0  # when the first of the calls that are counted ended
        self._ended = 0
        self._overloaded = 0

    @property
    def limit(self) -> int:
        """Calls that may be under way now, at least 1."""
        return int(self._limit)

    def hear(self, now_s: float, *, started_at_s: float, overloaded: bool) -> None:
        """Learn from a call that has ended.

        Args:
            started_at_s: when it began: one that was under way when the limit was lowered says nothing new.
            overloaded: whether it ended as calls do at a provider that has too many.
        """
        if overloaded:
            if started_at_s < self._lowered_at_s:
                return
            self._overloaded += 1
        elif self._limit < self._most:
            self._raise(now_s)
        if not self._ended:
            self._round_at_s = now_s
        self._ended += 1
        whole_window_overloaded = self._overloaded == self._ended >= self.limit
        if now_s - self._round_at_s >= ROUND_S or whole_window_overloaded:
            self._end_round(now_s)

    def _raise(self, now_s: float) -> None:
        step_s = min(LONGEST_STEP_S, now_s - self._raised_at_s)
        self._raised_at_s = now_s
        self._limit = min(float(self._most), self._limit + self._most / RECOVER_S * step_s)

    def _end_round(self, now_s: float) -> None:
        if self._overloaded:
            self._limit = max(1.0, self._limit * (1 - self._overloaded / self._ended / 2))
            self._lowered_at_s = self._raised_at_s = now_s
        self._ended = self._overloaded = 0
