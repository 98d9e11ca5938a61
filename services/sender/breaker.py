"""Breaker: while the provider itself fails, nothing is claimed; one message at a time probes whether it is back.

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
LONGEST_PAUSE_S = 3_600.0

log = structlog.get_logger()


class Breaker:
    """Closed, or open with probes, or paused; told of every verdict."""

    def __init__(self, clock: Clock, *, report: Callable[[str], None]) -> None:
        """`report`: told "up", or what is wrong with the provider, at every change."""
        self._clock = clock
        self._report = report
        self._failures = 0
        self._open_reason: str | None = None
        self._probe_at_s = 0.0
        self._paused_until_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the provider is taken for failing."""
        return self._open_reason is not None

    def wait_s(self) -> float:
        """Seconds until a call may start again; 0 when one may now."""
        now_s = self._clock.monotonic_s()
        wait_s = self._paused_until_s - now_s
        if self.is_open:
            wait_s = max(wait_s, self._probe_at_s - now_s)
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
        self._paused_until_s = max(self._paused_until_s, self._clock.monotonic_s() + seconds)

    def _open(self, reason: str) -> None:
        if not self.is_open:
            log.error("breaker.opened", reason=reason)
        self._open_reason = reason
        self._probe_at_s = self._clock.monotonic_s() + PROBE_EVERY_S
        self._report(reason)

    def _close(self) -> None:
        self._failures = 0
        if self.is_open:
            log.warning("breaker.closed", reason=self._open_reason)
            self._open_reason = None
        self._report("up")
