"""Admission: whether a call may start now, by breaker, rate and concurrency; and what they learn from each call."""

import math
from collections import deque

from services.sender.breaker import LONGEST_PAUSE_S, Breaker
from services.sender.concurrency import Concurrency
from services.sender.outcome import TOO_MANY_REQUESTS, Verdict
from services.sender.provider.provider import Answer
from services.sender.rate import Rate
from shared.domain.message import Outcome
from shared.runtime.clock import Clock

LATELY_S = 1.0  # a claim may be made for what can be started within so long
LOOK_AGAIN_S = 0.05  # while the rate holds calls up, nobody tells when there is room for more
WORTH_A_CLAIM = 0.1  # of what can be started within a second: a claim has its price, and there is time


class Admission:
    """Stands before the workers. What it does not admit is not claimed, so that no claim grows old waiting for it."""

    def __init__(self, clock: Clock, breaker: Breaker, rate: Rate, concurrency: Concurrency) -> None:
        self.breaker = breaker
        self._clock = clock
        self._rate = rate
        self._concurrency = concurrency
        self._ended_at_s: deque[float] = deque()

    def may_start(self, calling: int) -> bool:
        """Whether a call may start beside so many others; if so, it is counted."""
        return calling < self._concurrency.limit and self._rate.admit(self._clock.monotonic_s())

    def may_try_again(self) -> bool:
        """Whether the call that was just refused may be tried again at once, as a call more; if so, it is counted."""
        return not self.breaker.is_open and not self.breaker.wait_s() and self._rate.admit(self._clock.monotonic_s())

    def start_again_s(self, calling: int) -> float | None:
        """When what waits may start, seconds from now; None when only the end of a call makes room for it."""
        if calling >= self._concurrency.limit:
            return None
        return min(LATELY_S, self._rate.wait_s(self._clock.monotonic_s()))

    def room(self, *, calling: int, waiting: int, backlog: int) -> int:
        """How many more claims could be started within a second.

        While the breaker is open: one, the probe, when it is time for it.

        Args:
            calling: calls under way.
            waiting: claimed messages that wait for their start.
            backlog: most of these.
        """
        held = calling + waiting
        if self.breaker.wait_s(under_way=held > 0) > 0:
            return 0
        if self.breaker.is_open:
            return 0 if waiting else 1
        room = max(0, self._concurrency.limit + min(backlog, self.ended_lately()) - held)
        startable = self._rate.startable(self._clock.monotonic_s(), within_s=LATELY_S)
        if startable == math.inf:
            return room
        room = max(0, min(room, int(startable) - waiting))
        return room if room >= startable * WORTH_A_CLAIM or not waiting else 0

    def look_again_s(self, held: int) -> float | None:
        """When there may be room without the end of a call, seconds from now; None for never."""
        now_s = self._clock.monotonic_s()
        if (wait_s := self.breaker.wait_s(under_way=held > 0)) > 0:
            return wait_s
        if self._rate.per_s(now_s) is not None:
            return LOOK_AGAIN_S
        return None if held else 0.0

    def learn(self, verdict: Verdict, answer: Answer, *, started_at_s: float, calling: int) -> None:
        """Learn from what became of an attempt, and count it. What was handed over instead teaches nothing.

        Args:
            started_at_s: when it began.
            calling: calls under way, this one among them: as many would soon have been finished.
        """
        now_s = self._clock.monotonic_s()
        self._ended_at_s.append(now_s)
        self.breaker.hear(verdict)
        if not verdict.called:
            return
        self._concurrency.hear(now_s, started_at_s=started_at_s, overloaded=verdict.overloaded)
        pause_s = asked_pause_s(verdict, answer)
        if pause_s or answer.http_status == TOO_MANY_REQUESTS:
            finished_per_s = max(self.ended_lately() / LATELY_S, calling)
            self._rate.cut(now_s, started_at_s=started_at_s, pause_s=pause_s, finished_per_s=finished_per_s)

    def ended_lately(self) -> int:
        """Attempts that ended in the last second, the failed ones among them."""
        since_s = self._clock.monotonic_s() - LATELY_S
        while self._ended_at_s and self._ended_at_s[0] < since_s:
            self._ended_at_s.popleft()
        return len(self._ended_at_s)


def asked_pause_s(verdict: Verdict, answer: Answer) -> float:
    """How long a refusal asks us to stay away, seconds; 0 when it does not."""
    if verdict.outcome is not Outcome.REFUSED:
        return 0.0
    return min(LONGEST_PAUSE_S, answer.retry_after_s or 0.0)
