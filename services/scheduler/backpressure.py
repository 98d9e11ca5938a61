"""Backpressure: how many send commands may be published now.

The send queue is kept at about a second and a half of the work that the senders do. So a pause or a cancel bites at
once, an urgent mailing never stands behind more than that of a huge one, and the broker stays small, however slow the
provider is.
"""

from collections import deque

from shared.broker.queues import DepthReader
from shared.broker.topology import SEND_QUEUE
from shared.runtime.clock import Clock

WORK_S = 1.5  # the queue holds at most so many seconds of work
LEAST_COMMANDS = 50
MAX_COMMANDS = 10_000
LOOK_EVERY_S = 0.1


class Backpressure:
    """Watches the depth of the send queue and the rate at which it drains."""

    def __init__(self, reader: DepthReader, clock: Clock, *, least_commands: int) -> None:
        """`least_commands`: the mark never falls below this."""
        self._reader = reader
        self._clock = clock
        self._least = least_commands
        self._mark = least_commands
        self._drained: deque[tuple[float, int]] = deque()  # at each look of the last seconds: when, how many
        self._ready = 0
        self._published = 0
        self._looked_at_s: float | None = None

    async def room(self) -> int:
        """How many commands may be published now; 0 means wait.

        Raises:
            BrokerUnavailable: the depth cannot be read.
        """
        now_s = self._clock.monotonic_s()
        if self._looked_at_s is None or now_s - self._looked_at_s >= LOOK_EVERY_S:
            await self._look(now_s)
        return max(0, self._mark - self._ready - self._published)

    def published(self, commands: int) -> None:
        """Note commands that have been published since the last look."""
        self._published += commands

    async def _look(self, now_s: float) -> None:
        ready = (await self._reader.depth(SEND_QUEUE)).ready
        if self._looked_at_s is not None and now_s - self._looked_at_s < WORK_S:
            self._adapt(ready, now_s)
        else:  # there was no work meanwhile: what is known of the senders is old
            self._mark = self._least
            self._drained.clear()
        self._ready, self._published, self._looked_at_s = ready, 0, now_s

    def _adapt(self, ready: int, now_s: float) -> None:
        """Move the mark to what the senders drained lately; while they leave nothing, they could do more: double it.

        What other schedulers published meanwhile looks like slower draining. It makes the mark too low, never too
        high, and all schedulers look at the same depth.
        """
        drained = max(0, self._ready + self._published - ready)
        self._drained.append((now_s, drained))
        while self._drained[0][0] <= now_s - WORK_S:
            self._drained.popleft()
        lately = sum(count for _, count in self._drained)
        if ready == 0 and lately:
            self._mark = min(MAX_COMMANDS, self._mark * 2) if drained else self._mark
            return
        # Without work for a while, what the mark was says nothing of the provider as it is now.
        self._mark = min(MAX_COMMANDS, max(self._least, lately))
