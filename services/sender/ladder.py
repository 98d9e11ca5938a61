"""Ladder: which step of the retry schedule an attempt leads to. Attempts are counted anew after a replay."""

from datetime import datetime, timedelta

from shared.domain.message import RETRYING, MessageStatus
from shared.domain.retry import RetryStep, retry_step


class Ladder:
    """The retry schedule as this deployment uses it."""

    def __init__(self, *, max_attempts: int, mend_after: timedelta) -> None:
        """
        Args:
            max_attempts: of a message, and again after each replay.
            mend_after: how long after a retry is due a scheduler takes its command for lost.
        """
        self._max_attempts = max_attempts
        self._mend_after = mend_after

    def step(self, attempt: int, last_attempt: int) -> RetryStep:
        """The step after a failed attempt, `last_attempt` being the one after which the message is given up."""
        before_replay = max(0, last_attempt - self._max_attempts)
        return retry_step(max(1, attempt - before_replay))

    def due_at(self, status: MessageStatus, attempt: int, last_attempt: int, now: datetime) -> datetime | None:
        """When a scheduler looks after a message that was just recorded; None when it is final."""
        if status is not RETRYING:
            return None
        return now + timedelta(seconds=self.step(attempt, last_attempt).delay_s) + self._mend_after
