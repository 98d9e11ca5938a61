"""Intake: deliveries -> tasks. A body that is no send command is parked among the dead letters, with its reason."""

import asyncio
import itertools

import structlog

from services.sender.fair_queue import FairQueue
from services.sender.follow import Follower, hand_over
from services.sender.hand import Hand
from services.sender.task import Task
from shared.broker.acks import Acks
from shared.broker.delivery import Delivery
from shared.contracts.commands import SendCommand
from shared.contracts.version import Unparseable

VERSIONS = "message.send."

log = structlog.get_logger()


class Intake:
    """Takes deliveries over at once, hands tasks out, one mailing after the other. Bounded by the prefetch."""

    def __init__(self, hand: Hand, follower: Follower) -> None:
        self._hand = hand
        self._follower = follower
        self._pending = FairQueue()
        self._arrived = asyncio.Event()
        self._channel: Acks | None = None
        self._closed = False

    def take_over(self, delivery: Delivery) -> None:
        """The consumer's callback."""
        if self._closed:
            return
        if delivery.acks is not self._channel:
            # A new channel brings another prefetch of deliveries: what the lost one has brought must not pile up.
            self._channel = delivery.acks
            self._drop_lost()
        try:
            command = _command_of(delivery)
        except Unparseable as error:
            log.warning("command.parked", reason=str(error), bytes=len(delivery.body))
            self._follower.park(delivery, reason=str(error))
            return
        task = Task(command, delivery, recover=delivery.redelivered or command.recover)
        self._hand.take(task)
        self._pending.append(task)
        self._arrived.set()

    async def until_some(self) -> None:
        """Wait until there is a task."""
        while not self._pending:
            self._arrived.clear()
            await self._arrived.wait()

    async def gather(self, count: int, *, wait_s: float) -> list[Task]:
        """Up to `count` tasks, as many as come within `wait_s` of the first.

        Tasks whose channel is gone are dropped: the broker delivers them again. So there may be none.
        """
        await self.until_some()
        deadline = asyncio.get_running_loop().time() + wait_s
        try:
            async with asyncio.timeout_at(deadline):
                while len(self._pending) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        return self._take_pending(count)

    @property
    def has_some(self) -> bool:
        return len(self._pending) > 0

    def again(self, task: Task) -> None:
        """A task that has to be claimed after all."""
        if self._closed:
            self._hand.drop(task)
            return
        self._pending.append(task)
        self._arrived.set()

    def hand_over(self, *, keep: int) -> None:
        """Let other senders have what is not claimed, but for so many tasks. Does not wait."""
        self._drop_lost()
        places = itertools.count()
        tasks = self._pending.drop(lambda _: next(places) >= keep)
        self._follower.follow((task, hand_over(task)) for task in tasks)

    def close(self) -> None:
        """Take nothing over any more, and let go of what is not claimed: the broker gives it to another sender."""
        self._closed = True
        for task in self._pending.drop(lambda _: True):
            self._hand.drop(task)

    def _drop_lost(self) -> None:
        for task in self._pending.drop(lambda task: not task.delivery.acks.is_open):
            self._hand.drop(task)

    def _take_pending(self, count: int) -> list[Task]:
        taken: list[Task] = []
        while self._pending and len(taken) < count:
            task = self._pending.pop()
            if task.delivery.acks.is_open:
                taken.append(task)
            else:
                self._hand.drop(task)
        return taken


def _command_of(delivery: Delivery) -> SendCommand:
    """
    Raises:
        Unparseable: it is no command, or of a version that this sender does not know.
    """
    if delivery.routing_key != SendCommand.ROUTING_KEY and delivery.routing_key.startswith(VERSIONS):
        raise Unparseable(f"came as {delivery.routing_key[:100]!r}, and only {SendCommand.ROUTING_KEY} is known")
    return SendCommand.from_body(delivery.body)
