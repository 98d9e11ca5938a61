"""Give back: a claim that came to no call is undone, under its token; the attempt never happened.

Each is one update for a batch. When it does not match every message, a claim was lost or its own answer was: then
the tasks are judged anew, as recovering ones.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from services.sender.containment import one_by_one
from services.sender.follow import Follower, dead_letter, hand_over, later
from services.sender.task import ClaimedTask, Task
from shared.broker.publisher import Publication
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_statuses import MessageStatuses


class GiveBack:
    """Undoes claims."""

    def __init__(
        self,
        statuses: MessageStatuses,
        follower: Follower,
        clock: Clock,
        *,
        mend_after: timedelta,
        report_store: Callable[[str], None],
        judge: Callable[[list[Task]], Awaitable[None]],
    ) -> None:
        """`judge` takes the tasks whose claim was not theirs any more."""
        self._statuses = statuses
        self._follower = follower
        self._clock = clock
        self._mend_after = mend_after
        self._report_store = report_store
        self._judge = judge

    async def park(self, tasks: Sequence[ClaimedTask], *, reason: str, due_at: datetime) -> None:
        """The mailing says "not now": the messages wait, and the scheduler decides what becomes of them."""
        await self._undo(
            tasks,
            lambda message_ids, token: self._statuses.park(
                message_ids, token=token, due_at=due_at, reason=reason, now=self._clock.now()
            ),
            lambda _: None,
        )

    async def cancel(self, tasks: Sequence[ClaimedTask], *, reason: str) -> None:
        """The client is gone: the messages are cancelled; an ambiguous one ends unknown, with its dead letter."""
        await self._undo(
            tasks,
            lambda message_ids, token: self._statuses.cancel_claimed(
                message_ids, token=token, reason=reason, now=self._clock.now()
            ),
            lambda one: (
                dead_letter(one.task, reason=reason, client_id=one.message.client_id) if one.message.ambiguous else None
            ),
        )

    async def hand_over(self, tasks: Sequence[ClaimedTask]) -> None:
        """No time left for a call, or this sender stops: the messages are queued, the commands published anew."""
        await self._hand_back(tasks, hand_over, None)

    async def put_off(self, tasks: Sequence[ClaimedTask], *, reason: str) -> None:
        """The provider cannot be called, or does not let us: the same attempt comes again after a while."""
        await self._hand_back(tasks, later, reason)

    async def _hand_back(
        self, tasks: Sequence[ClaimedTask], follow: Callable[[Task], Publication], reason: str | None
    ) -> None:
        await self._undo(
            tasks,
            lambda message_ids, token: self._statuses.hand_back(
                message_ids,
                token=token,
                due_at=self._clock.now() + self._mend_after,
                reason=reason,
                now=self._clock.now(),
            ),
            lambda one: follow(one.task),
        )

    async def _undo(
        self,
        tasks: Sequence[ClaimedTask],
        update: Callable[[list[int], str], Awaitable[int]],
        follow: Callable[[ClaimedTask], Publication | None],
    ) -> None:
        async def undo(batch: Sequence[ClaimedTask]) -> None:
            message_ids, token = [one.message.id for one in batch], batch[0].claim.token
            matched = await until_answered(partial(update, message_ids, token), report=self._report_store)
            if matched == len(batch):
                self._follower.follow((one.task, follow(one)) for one in batch)
                return
            for one in batch:
                one.task.recover = True
            await self._judge([one.task for one in batch])

        for batch in group_by_token(tasks).values():
            await one_by_one(
                batch,
                undo,
                let_go=lambda one: self._follower.let_go(one.task),
                name=lambda one: one.message.id,
                stage="give_back",
            )


def group_by_token(tasks: Sequence[ClaimedTask]) -> dict[str, list[ClaimedTask]]:
    """The tasks of each claim."""
    groups: dict[str, list[ClaimedTask]] = {}
    for one in tasks:
        groups.setdefault(one.claim.token, []).append(one)
    return groups
