"""Breaker: while the provider itself fails, nothing is claimed but a message every two seconds, to probe it.

An outage of hours so uses up no attempts and dead-letters nothing. What counts as the provider's own failure: no
connection, no answer, 5xx, and answers that are not its protocol's, so many in a row; and at once, with an alert, that
it does not let us call (401, 403, redirects). `Retry-After` is a pause without probes.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from services.sender.outcome import Verdict
from shared.domain.message import Outcome
from shared.runtime.clock import Clock

FAILURES = 20  # in a row; at a share of one half by chance once in a million calls
PROBE_EVERY_S = 2.0
PROBE_OVERDUE_S = 5.0  # so long a probe is waited for: one that hangs until its timeout would hide that it is back
SHORT_PAUSE_S = 2.0  # not worth handing anything back
LONGEST_PAUSE_S = 3_600.0
LEAST_PAUSE_S = 0.01  # two clocks tell of the same pause, and differ by a little

log = structlog.get_logger()


class Breaker:
    """Closed, or open with probes, or paused; told of every verdict."""

    def __init__(
        self, clock: Clock, *, report: Callable[[str], None], changed: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            report: told what is wrong with the provider, and "up" when it is no more.
            changed: told whenever it opens, closes or is paused.
        """
        self._clock = clock
        self._report = report
        self._changed = changed
        self._failures = 0
        self._open_reason: str | None = None
        self._probe_at_s = 0.0
        self._paused_until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the provider is taken for failing."""
        return self._open_reason is not None

    @property
    def is_paused(self) -> bool:
        """Whether the provider has asked to be left alone now, probes included."""
        return self._paused_until_s > self._clock.monotonic_s()

    @property
    def holds_back(self) -> bool:
        """Whether commands are better held by another sender: the provider fails, or is paused for a while."""
        return self.is_open or self._paused_until_s - self._clock.monotonic_s() > SHORT_PAUSE_S

    def wait_s(self, *, under_way: bool = False) -> float:
        """Seconds until a call may start again; 0 when one may now.

        Args:
            under_way: whether calls are: while open, these are waited for, but not for ever.
        """
        now_s = self._clock.monotonic_s()
        wait_s = self._paused_until_s - now_s
        if self.is_open:
            overdue_s = PROBE_OVERDUE_S - PROBE_EVERY_S if under_way else 0.0
            wait_s = max(wait_s, self._probe_at_s + overdue_s - now_s)
        return max(0.0, wait_s)

    def lets_through(self) -> bool:
        """Whether one call may start now. While open, that call is the probe, and the next one waits."""
        if self.wait_s() > 0:
            return False
        if self.is_open:
            self._probe_at_s = self._clock.monotonic_s() + PROBE_EVERY_S
        return True

    def hear(self, verdict: Verdict) -> None:
        """Learn from what became of a call."""
        if verdict.outcome is Outcome.UNAUTHORISED:
            self._open(f"does not let us call: {verdict.reason}")
        elif verdict.provider_failed:
            self._failures += 1
            if self._failures >= FAILURES or self.is_open:
                self._open(f"fails: {verdict.reason}")
        elif verdict.called and verdict.outcome is not Outcome.REFUSED:
            self._close()

    def pause(self, until: datetime) -> None:
        """Start no call before an instant, as the provider has asked, but for an hour at most."""
        seconds = min(LONGEST_PAUSE_S, (until - self._clock.now()).total_seconds())
        until_s = self._clock.monotonic_s() + seconds
        if seconds <= 0 or until_s <= self._paused_until_s + LEAST_PAUSE_S:
            return
        self._paused_until_s = until_s
        log.warning("provider.paused", seconds=round(seconds, 1))
        self._changed()

    def _open(self, reason: str) -> None:
        was_open, self._open_reason = self.is_open, reason
        self._report(reason)
        if not was_open:
            log.error("breaker.opened", reason=reason)
            self._probe_at_s = self._clock.monotonic_s() + PROBE_EVERY_S
            self._changed()

    def _close(self) -> None:
        self._failures = 0
        if not self.is_open:
            return
        log.warning("breaker.closed", reason=self._open_reason)
        self._open_reason = None
        self._report("up")
        self._changed()
