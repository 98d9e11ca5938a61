"""A scheduler by hand: its parts, called one by one, with a clock that can be moved on."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.scheduler.backpressure import Backpressure
from services.scheduler.serve import serve_next
from services.scheduler.tools import Limits, Tools
from shared.broker.queues import QueueReader
from shared.contracts.commands import SendCommand
from shared.runtime.clock import SystemClock
from shared.store.mailing_work import LeasedMailing
from tests.integration.sender.planting import Planting

OWNER = "a scheduler"
CHUNK = 20
MEND_AFTER = timedelta(seconds=60)
LEASE_S = 60.0


class MovableClock(SystemClock):
    """The machine's clock, moved on by so much; or stopped, and then moved by hand alone."""

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self._stopped: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        at = self._stopped[0] if self._stopped else super().now()
        return at + timedelta(seconds=self._ahead_s)

    def monotonic_s(self) -> float:
        return (self._stopped[1] if self._stopped else super().monotonic_s()) + self._ahead_s

    def pass_s(self, seconds: float) -> None:
        self._ahead_s += seconds

    def stop(self) -> None:
        """Stand still: however long a chunk takes on a busy machine, no time passes."""
        self._stopped = (super().now(), super().monotonic_s())


@dataclass
class Hands:
    """One scheduler."""

    world: Planting
    tools: Tools
    owner: str = OWNER
    commands: list[SendCommand] = field(default_factory=list)

    @classmethod
    def of(cls, world: Planting, clock: MovableClock, *, owner: str = OWNER, chunk: int = CHUNK) -> "Hands":
        backpressure = Backpressure(QueueReader(world.gateway), clock, least_commands=500)
        limits = Limits(chunk_clients=chunk, max_attempts=6, mend_after=MEND_AFTER, tick=timedelta(seconds=1))
        return cls(world, Tools(world.store, world.publisher, backpressure, clock, limits), owner)

    async def lease(self) -> LeasedMailing:
        leased = await self.tools.store.mailing_work.lease_next(
            self.tools.clock.now(), owner=self.owner, lease_s=LEASE_S
        )
        assert leased is not None
        return leased

    async def serve(self) -> bool:
        """One chunk of whatever is due."""
        return await serve_next(self.tools, owner=self.owner)

    async def serve_until_rest(self, most: int = 50) -> int:
        """Chunk after chunk, until nothing is due; how many there were."""
        for chunks in range(most):
            if not await self.serve():
                return chunks
        raise AssertionError(f"there is still something to do after {most} chunks")

    async def published(self) -> list[SendCommand]:
        """The commands in the send queue, taken out of it."""
        return [entry.command for entry in await self.world.take_all("messages.send")]
