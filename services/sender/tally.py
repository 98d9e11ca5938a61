"""Tally: what the attempts of each mailing came to, told to the store once a second, for its self-pause.

Beside the way of the messages: nothing waits for it, nothing fails with it, and what is not told when a sender dies is
lost. It is advice; the truth stands in the messages.
"""

import asyncio
from collections import deque

import structlog

from services.sender.task import Task
from shared.domain.message import Outcome
from shared.domain.self_pause import LAST_OUTCOMES
from shared.errors import StoreUnavailable
from shared.runtime.clock import Clock
from shared.store.outcomes import Outcomes

TELL_EVERY_S = 1.0
MAX_MAILINGS = 1_000  # with outcomes that are not told yet; those of further ones are not counted

log = structlog.get_logger()


class Tally:
    """The outcomes that are not told yet, at most the last thousand of each mailing."""

    def __init__(self, outcomes: Outcomes, clock: Clock) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._untold: dict[tuple[int, int], deque[bool]] = {}

    def count(self, task: Task, outcome: Outcome) -> None:
        """Count what an attempt came to, at once. One whose mailing was never read says nothing of the mailing."""
        if task.generation is None:
            return
        key = (task.command.mailing_id, task.generation)
        if key not in self._untold and len(self._untold) >= MAX_MAILINGS:
            return
        self._untold.setdefault(key, deque(maxlen=LAST_OUTCOMES)).append(outcome is Outcome.PERMANENT)

    async def run(self) -> None:
        """Tell the store once a second, until cancelled."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            await self.tell()

    async def tell(self) -> None:
        """Write what is not told yet; while the store is away, that is kept for the next time."""
        for key in list(self._untold):
            mailing_id, generation = key
            outcomes = self._untold.pop(key)
            try:
                await self._outcomes.add(mailing_id, generation, list(outcomes), self._clock.now())
            except StoreUnavailable as error:
                log.info("outcomes.not_told", error=str(error))
                outcomes.extend(self._untold.get(key, ()))
                self._untold[key] = outcomes
                return
            except Exception:
                log.exception("outcomes.not_told", mailing_id=mailing_id)
