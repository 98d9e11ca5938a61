"""Claim: a batch of tasks, one update, one token. One attempt, one claim, at most one call.

What could not be claimed is judged; what was won is checked.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Protocol

from services.sender.containment import one_by_one
from services.sender.intake import Intake
from services.sender.task import CLAIM_LIMIT_S, Claim, ClaimedTask, Task
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_documents import ClaimedMessage
from shared.store.message_statuses import MessageStatuses


class Capacity(Protocol):
    """Whoever delivers: how many claims could be started within a second."""

    def free(self) -> int: ...

    async def until_free(self) -> None: ...


class Claimer:
    """Claims in batches for as long as it runs."""

    def __init__(
        self,
        intake: Intake,
        statuses: MessageStatuses,
        capacity: Capacity,
        *,
        sender: str,
        clock: Clock,
        batch_size: int,
        batch_wait_s: float,
        mend_after: timedelta,
        report_store: Callable[[str], None],
        check: Callable[[list[ClaimedTask]], Awaitable[None]],
        judge: Callable[[list[Task]], Awaitable[None]],
        let_go: Callable[[Task], None],
    ) -> None:
        """
        Args:
            sender: name of this sender, kept in its claims.
            batch_size: most tasks of one batch.
            batch_wait_s: longest wait for a batch to fill, seconds.
            mend_after: how long after the claim's limit a scheduler looks after a message that is not heard of.
            check: takes what was won.
            judge: takes what could not be claimed.
            let_go: takes a task whose message cannot even be read.
        """
        self._intake = intake
        self._statuses = statuses
        self._capacity = capacity
        self._sender = sender
        self._clock = clock
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_s
        self._due_after = timedelta(seconds=CLAIM_LIMIT_S) + mend_after
        self._report_store = report_store
        self._check = check
        self._judge = judge
        self._let_go = let_go
        self._stopping = False
        self._gathering: asyncio.Task[list[Task]] | None = None

    async def run(self) -> None:
        """Claim until `stop`."""
        while not self._stopping:
            self._gathering = asyncio.create_task(self._gather())
            try:
                tasks = await self._gathering
            except asyncio.CancelledError:
                if self._stopping and self._gathering.cancelled():
                    return
                raise
            if tasks:
                await self.claim(tasks)

    def stop(self) -> None:
        """Begin no other batch; one that is being claimed is finished, and handed back if it cannot be started."""
        self._stopping = True
        if self._gathering is not None:
            self._gathering.cancel()

    async def _gather(self) -> list[Task]:
        """A batch, as large as can be started within a second: looked at when there is something to claim."""
        while True:
            await self._intake.until_some()
            await self._capacity.until_free()
            if self._intake.has_some:  # it may have been handed over meanwhile
                break
        count = min(self._batch_size, self._capacity.free())
        return await self._intake.gather(count, wait_s=self._batch_wait_s)

    async def claim(self, tasks: list[Task]) -> None:
        """Claim a batch. Two commands for one message in it: the second is judged, or both would be called."""
        firsts: dict[int, Task] = {}
        rest: list[Task] = []
        for task in tasks:
            if task.message_id in firsts:
                rest.append(task)
            else:
                firsts[task.message_id] = task
        claim = Claim(secrets.token_hex(12), self._clock.now(), self._clock.monotonic_s())
        lost: list[Task] = []
        parts = await one_by_one(
            list(firsts.values()),
            lambda part: self._win(part, claim),
            let_go=lost.append,
            name=lambda task: task.message_id,
            stage="claim",
        )
        claimed = [ClaimedTask(firsts.pop(message.id), message, claim) for won in parts for message in won]
        for task in lost:
            self._let_go(firsts.pop(task.message_id))
        rest.extend(firsts.values())
        if claimed:
            await self._check(claimed)
        if rest:
            await self._judge(rest)

    async def _win(self, tasks: Sequence[Task], claim: Claim) -> list[ClaimedMessage]:
        """Repeated until the store answers, with the same token: what an unheard try has won is then found."""
        attempts = {task.message_id: task.command.attempt for task in tasks}
        return await until_answered(
            lambda: self._statuses.claim(
                attempts, token=claim.token, sender=self._sender, at=claim.at, due_at=claim.at + self._due_after
            ),
            report=self._report_store,
        )
