"""Judge: what a command that could not claim is still good for.

Most often nothing: it is acked. A recovering one (delivered again, or published to recover) may be all that is left
of unfinished work, so it finishes what it finds at its own attempt.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

import structlog

from services.sender.containment import one_by_one
from services.sender.current_mailings import read_mailings
from services.sender.follow import Follower, dead_letter, retry, wait
from services.sender.ladder import Ladder
from services.sender.record import Finished
from services.sender.task import CLAIM_LIMIT_S, Task
from shared.domain.message import CLAIMABLE, DEAD, RETRYING, SENDING, OnUnknown, Outcome, status_after
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_documents import Attempt, Standing
from shared.store.message_statuses import Record
from shared.store.store import Store

CLAIM_LIMIT = timedelta(seconds=CLAIM_LIMIT_S)

log = structlog.get_logger()


class Finding(Enum):
    """What a command finds."""

    NOTHING_TO_DO = auto()
    CLAIMABLE = auto()  # after all: it was handed back meanwhile
    YOUNG_CLAIM = auto()
    OUTLIVED_CLAIM = auto()
    RETRY_MISSING = auto()  # perhaps: the outcome is recorded, and its retry may not have been published
    LETTER_MISSING = auto()  # perhaps: the same of the dead letter


@dataclass(frozen=True, slots=True)
class Judged:
    """A task and what it found."""

    task: Task
    finding: Finding
    standing: Standing | None


def find(task: Task, standing: Standing | None, now: datetime) -> Finding:
    """What a command finds, by where its message stands."""
    attempt = task.command.attempt
    if standing is None:
        return Finding.NOTHING_TO_DO
    if standing.status in CLAIMABLE and standing.attempt == attempt - 1:
        return Finding.CLAIMABLE
    if not task.recover or standing.attempt != attempt:
        return Finding.NOTHING_TO_DO
    if standing.status is SENDING and standing.claimed_at is not None:
        return Finding.YOUNG_CLAIM if now - standing.claimed_at < CLAIM_LIMIT else Finding.OUTLIVED_CLAIM
    if standing.status is RETRYING:
        return Finding.RETRY_MISSING
    if standing.status in DEAD:
        return Finding.LETTER_MISSING
    return Finding.NOTHING_TO_DO


class Judge:
    """Judges batches of tasks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        follower: Follower,
        ladder: Ladder,
        *,
        report_store: Callable[[str], None],
        again: Callable[[Task], None],
        record: Callable[[Finished], None],
        doubt: Callable[[str], Awaitable[None]],
    ) -> None:
        """
        Args:
            again: takes a task that can claim after all.
            record: takes the outcome of an outlived claim.
            doubt: told that dead letters may be about to be published a second time; returns when that is noted.
        """
        self._store = store
        self._clock = clock
        self._follower = follower
        self._ladder = ladder
        self._report_store = report_store
        self._again = again
        self._record = record
        self._doubt = doubt

    async def judge(self, tasks: Sequence[Task]) -> None:
        """Finish, wait, claim again or ack, for each task."""
        await one_by_one(
            tasks, self._judge, let_go=self._follower.let_go, name=lambda task: task.message_id, stage="judge"
        )

    async def _judge(self, tasks: Sequence[Task]) -> None:
        message_ids = {task.message_id for task in tasks}
        standings = await until_answered(lambda: self._store.messages.standings(message_ids), report=self._report_store)
        now = self._clock.now()
        judged = [
            Judged(task, find(task, standing, now), standing)
            for task in tasks
            for standing in (standings.get(task.message_id),)
        ]
        policies = await self._policies([one for one in judged if one.finding is Finding.OUTLIVED_CLAIM])
        if any(one.finding is Finding.LETTER_MISSING for one in judged):
            await self._doubt("letter_published_again")  # their sender may have died just after it had published them
        recorded: set[int] = set()
        for one in judged:
            if one.finding is not Finding.OUTLIVED_CLAIM or one.standing is None:
                self._finish(one)
            elif one.standing.id in recorded:  # a second command for it
                self._follower.follow([(one.task, wait(one.task))])
            else:
                recorded.add(one.standing.id)
                self._record(self._outlived(one.task, one.standing, policies[one.standing.mailing_id]))

    def _finish(self, judged: Judged) -> None:
        task, standing = judged.task, judged.standing
        if judged.finding is Finding.CLAIMABLE:
            self._again(task)
        elif judged.finding is Finding.YOUNG_CLAIM:
            self._follower.follow([(task, wait(task))])
        elif judged.finding is Finding.RETRY_MISSING and standing is not None:
            self._follower.follow([(task, retry(task, self._ladder.step(standing.attempt, standing.replayed_after)))])
        elif judged.finding is Finding.LETTER_MISSING and standing is not None:
            letter = dead_letter(task, reason=standing.reason or "unknown", client_id=standing.client_id)
            self._follower.follow([(task, letter)])
        elif judged.finding is Finding.NOTHING_TO_DO:
            self._follower.follow([(task, None)])

    async def _policies(self, outlived: Sequence[Judged]) -> dict[int, OnUnknown]:
        """By mailing: what to do about an unknown outcome. Nothing is sent again for one that cannot be asked."""
        mailing_ids = {one.standing.mailing_id for one in outlived if one.standing is not None}
        if not mailing_ids:
            return {}
        mailings = await read_mailings(self._store.mailings, mailing_ids, report=self._report_store)
        found = {mailing_id: mailings.get(mailing_id) for mailing_id in mailing_ids}
        return {mailing_id: one.on_unknown if one else OnUnknown.HOLD for mailing_id, one in found.items()}

    def _outlived(self, task: Task, standing: Standing, policy: OnUnknown) -> Finished:
        """A claim that outlived its limit: its sender is gone, and whether it called nobody can know."""
        status, ambiguous = status_after(
            Outcome.UNKNOWN,
            attempt=standing.attempt,
            last_attempt=standing.last_attempt,
            ambiguous=standing.ambiguous,
            on_unknown=policy,
        )
        log.warning(
            "claim.outlived",
            mailing_id=standing.mailing_id,
            message_id=standing.id,
            client_id=standing.client_id,
            attempt=standing.attempt,
            status=status,
        )
        now = self._clock.now()
        record = Record(
            message_id=standing.id,
            status=status,
            ambiguous=ambiguous,
            reason="claim_outlived",
            due_at=self._ladder.due_at(status, standing.attempt, standing.replayed_after, now),
            attempt=Attempt(standing.claimed_at or now, Outcome.UNKNOWN, error="the sender was lost"),
            revision=None,
        )
        step = self._ladder.step(standing.attempt, standing.replayed_after)
        return Finished(task, standing.claim_token or "", record, standing.client_id, step)
