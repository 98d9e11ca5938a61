"""Doubts: whatever may have made the dead letters untrue is noted in the store, and a walk follows.

Queue and store are else compared by their counts alone, and a double entry hides a missing one.
"""

from collections.abc import Callable
from datetime import datetime

import structlog

from shared.store.connection import until_answered
from shared.store.dead_letter_state import DeadLetterState

log = structlog.get_logger()


class Doubts:
    """Notes doubts down for a process that cannot go on before they are."""

    def __init__(
        self, state: DeadLetterState, *, now: Callable[[], datetime], report_store: Callable[[str], None]
    ) -> None:
        """`report_store`: told what is wrong while the store is away, and "up" afterwards."""
        self._state = state
        self._now = now
        self._report_store = report_store

    async def raise_one(self, why: str) -> None:
        """Note a doubt, waiting for the store as long as it takes. Raises nothing: the work goes on without it."""
        try:
            await until_answered(lambda: self._state.doubt(self._now(), why=why), report=self._report_store)
        except Exception:
            log.exception("doubt.not_noted", why=why)
        else:
            log.info("dead_letters.doubted", why=why)
