"""Hand: the tasks that a sender holds, from their delivery until they are settled."""

import asyncio

from services.sender.task import Task
from shared.broker.consumer import Consumer

FLUSH_EVERY_S = 1.0  # what is stuck behind an unfinished delivery is acked singly at this pace


class Hand:
    """Keeps count of the tasks, and acks what is settled in batches."""

    def __init__(self) -> None:
        self._tasks: set[Task] = set()
        self._settled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, task: Task) -> None:
        self._tasks.add(task)

    def settle(self, task: Task) -> None:
        """Nothing more is to be done for a task."""
        task.delivery.settle()
        self.drop(task)
        self._settled.set()

    def drop(self, task: Task) -> None:
        """Let go of a task without an ack: the broker delivers it again."""
        self._tasks.discard(task)
        if not self._tasks:
            self._emptied.set()

    async def until_empty(self) -> None:
        while self._tasks:
            self._emptied.clear()
            await self._emptied.wait()

    async def ack_settled(self, consumer: Consumer) -> None:
        """Ack until `close`. Not to be cancelled in the middle of an ack: one that is sent twice closes the channel."""
        while not self._closed:
            try:
                async with asyncio.timeout(FLUSH_EVERY_S):
                    await self._settled.wait()
            except TimeoutError:
                pass
            self._settled.clear()
            await consumer.flush_acks()

    def close(self) -> None:
        """Ack what is settled by now, and then no more."""
        self._closed = True
        self._settled.set()
