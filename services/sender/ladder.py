"""Ladder: which step of the retry schedule an attempt leads to. Attempts are counted anew after a replay.

How many came before it stands in the message: computed from `last_attempt`, it would be wrong as soon as
SENDER_MAX_ATTEMPTS was changed in between.
"""

from datetime import datetime, timedelta

from shared.domain.message import RETRYING, MessageStatus
from shared.domain.retry import RetryStep, retry_step


class Ladder:
    """The retry schedule as this deployment uses it."""

    def __init__(self, *, mend_after: timedelta) -> None:
        """`mend_after`: how long after a retry is due a scheduler takes its command for lost."""
        self._mend_after = mend_after

    def step(self, attempt: int, replayed_after: int) -> RetryStep:
        """The step after a failed attempt, `replayed_after` being the attempts at the last replay, 0 before any."""
        return retry_step(max(1, attempt - replayed_after))

    def due_at(self, status: MessageStatus, attempt: int, replayed_after: int, now: datetime) -> datetime | None:
        """When a scheduler looks after a message that was just recorded; None when it is final."""
        if status is not RETRYING:
            return None
        return now + timedelta(seconds=self.step(attempt, replayed_after).delay_s) + self._mend_after
