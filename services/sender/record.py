"""Record: outcomes -> the store, in batches; then what follows is published; then the command is acked.

Record before publish before ack: whatever dies in between, the command comes again and finds what was done. A record
is repeated until the store answers; it never goes back to calling.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from services.sender.containment import one_by_one
from services.sender.follow import Follower, dead_letter, retry
from services.sender.task import Task
from shared.broker.publisher import Publication
from shared.domain.message import DEAD, RETRYING, Outcome
from shared.domain.retry import RetryStep
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_statuses import MessageStatuses, Record


@dataclass(frozen=True, slots=True)
class Finished:
    """What an attempt came to, to be recorded under the claim's token.

    `step` is where the retry waits, if the record leads to one.
    """

    task: Task
    token: str
    record: Record
    client_id: int
    step: RetryStep

    def what_follows(self) -> Publication | None:
        if self.record.status is RETRYING:
            return retry(self.task, self.step)
        if self.record.status in DEAD:
            return dead_letter(self.task, reason=self.record.reason or "unknown", client_id=self.client_id)
        return None


class Recorder:
    """Records in batches for as long as it runs. Bounded by the consumer's prefetch, as every task is."""

    def __init__(
        self,
        statuses: MessageStatuses,
        follower: Follower,
        clock: Clock,
        *,
        batch_size: int,
        batch_wait_s: float,
        report_store: Callable[[str], None],
        judge: Callable[[list[Task]], Awaitable[None]],
        count: Callable[[Task, Outcome], None] = lambda _task, _outcome: None,
    ) -> None:
        """
        Args:
            judge: takes the tasks whose record matched nothing: the claim was lost, or the answer to this was.
            count: told of every outcome that was recorded.
        """
        self._statuses = statuses
        self._follower = follower
        self._clock = clock
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_s
        self._report_store = report_store
        self._judge = judge
        self._count = count
        self._queue: asyncio.Queue[Finished] = asyncio.Queue()

    def put(self, finished: Finished) -> None:
        """Take an outcome, at once."""
        self._queue.put_nowait(finished)

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            by_token: dict[str, list[Finished]] = {}
            for finished in await self._gather():
                by_token.setdefault(finished.token, []).append(finished)
            for batch in by_token.values():
                await one_by_one(
                    batch,
                    self._record,
                    let_go=lambda one: self._follower.let_go(one.task),
                    name=lambda one: one.task.message_id,
                    stage="record",
                )

    async def _gather(self) -> list[Finished]:
        batch = [await self._queue.get()]
        deadline = asyncio.get_running_loop().time() + self._batch_wait_s
        try:
            async with asyncio.timeout_at(deadline):
                while len(batch) < self._batch_size:
                    batch.append(await self._queue.get())
        except TimeoutError:
            pass
        return batch

    async def _record(self, batch: Sequence[Finished]) -> None:
        """Record outcomes of one token."""
        records, token = [one.record for one in batch], batch[0].token
        matched = await until_answered(
            lambda: self._statuses.record(records, token=token, now=self._clock.now()), report=self._report_store
        )
        if matched == len(batch):
            self._follower.follow((one.task, one.what_follows()) for one in batch)
            for one in batch:
                self._count(one.task, one.record.attempt.outcome)
            return
        for one in batch:
            one.task.recover = True
        await self._judge([one.task for one in batch])
