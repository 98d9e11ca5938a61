"""A watch over the dead letters, by hand: looks, a difference that lasts, and entries as they may lie in the queue."""

from typing import Any

from services.scheduler.dead_letters import LOOK_EVERY_S, DeadLetterWatch
from shared.broker.queues import QueueReader
from shared.contracts.commands import SendCommand
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.sender.planting import Entry, Planting, now

DIFFER_S = 30.0
BATCH = 10
LONG_AGO = {"updated_at": now().replace(year=2020)}
DEAD = {"status": "failed", "attempt": 3, "due_at": None, "reason": "http_400"} | LONG_AGO


class Watching:
    """A watch over the dead letters, looked through again and again."""

    def __init__(self, world: Planting, hands: Hands, clock: MovableClock, reader: QueueReader | None = None) -> None:
        self._world = world
        self._clock = clock
        self.watch = DeadLetterWatch(hands.tools, reader or QueueReader(world.gateway), differ_s=DIFFER_S)

    async def look(self) -> None:
        """Look, as the next look comes about."""
        self._clock.pass_s(LOOK_EVERY_S + 0.1)
        await self.watch.look()

    async def look_for_long(self) -> None:
        """Look, and again when a difference has lasted for long enough."""
        await self.look()
        self._clock.pass_s(DIFFER_S)
        await self.look()


async def letter_of(world: Planting, message_id: int, *, attempt: int = 3, **headers: Any) -> None:
    mailing_id = (await world.documents["messages"].find_one({"_id": message_id}) or {"mailing_id": 1})["mailing_id"]
    body = SendCommand(message_id=message_id, mailing_id=mailing_id, attempt=attempt).to_body()
    values = {"x-mailrun-reason": "http_400", "x-mailrun-parked": False, "x-mailrun-mailing-id": mailing_id}
    await world.letter(body, values | headers)


def ids(letters: list[Entry]) -> list[int]:
    return sorted(letter.command.message_id for letter in letters)
