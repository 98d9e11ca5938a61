"""Pipeline: intake -> claim -> check -> deliver -> record -> follow, wired; and how it stops.

Every stage takes its input at once and works at its own pace; what bounds them all is the consumer's prefetch.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.sender.admission import Admission
from services.sender.breaker import Breaker
from services.sender.check import Checker
from services.sender.claim import Claimer
from services.sender.concurrency import Concurrency
from services.sender.deliver import Deliverer
from services.sender.follow import Follower
from services.sender.give_back import GiveBack
from services.sender.hand import Hand
from services.sender.intake import Intake
from services.sender.judge import Judge
from services.sender.ladder import Ladder
from services.sender.prefetch import Prefetch, least_prefetch, limited_prefetch
from services.sender.provider.provider import Provider
from services.sender.rate import Rate
from services.sender.record import Finished, Recorder
from services.sender.tally import Tally
from services.sender.task import ClaimedTask, Task
from services.sender.watch import watch_pause, watch_senders
from shared.broker.consumer import Consumer
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.broker.queues import QueueReader
from shared.broker.topology import SEND_QUEUE
from shared.errors import StoreUnavailable
from shared.runtime.clock import Clock
from shared.store.doubts import Doubts
from shared.store.message_statuses import Record
from shared.store.store import Store

LAST_ACK_S = 2.0  # longest wait, at a stop, for the last acks to be written

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tuning:
    """
    Attributes:
        sender: name of this sender.
        concurrency: calls under way at once, at most.
        rate_per_s: calls per second of all senders together; None for no limit.
        batch_size: messages claimed or recorded in one update.
        batch_wait_s: longest wait for a batch to fill, seconds.
        mend_after: silence after which a scheduler takes a message's command for lost.
        refusal_statuses: statuses that say for certain "not accepted".
    """

    sender: str
    concurrency: int
    rate_per_s: float | None
    batch_size: int
    batch_wait_s: float
    mend_after: timedelta
    refusal_statuses: frozenset[int]

    @property
    def most_prefetch(self) -> int:
        """Three batches (gathered, claimed and called for, recorded), and what is in flight."""
        return 3 * self.batch_size + self.concurrency

    @property
    def first_prefetch(self) -> int:
        if self.rate_per_s is None:
            return least_prefetch(self.concurrency)
        return limited_prefetch(self.concurrency, self.rate_per_s, most=self.most_prefetch)


class Pipeline:
    """One sender at work."""

    def __init__(
        self,
        store: Store,
        consuming: Gateway,
        publisher: Publisher,
        provider: Provider,
        clock: Clock,
        tuning: Tuning,
        *,
        report_store: Callable[[str], None],
        report_provider: Callable[[str], None],
    ) -> None:
        statuses = store.message_statuses
        changed = asyncio.Event()
        breaker = Breaker(clock, report=report_provider, changed=changed.set)
        self._breaker = breaker
        self._rate = Rate(tuning.rate_per_s)
        self._queues = QueueReader(consuming)
        admission = Admission(clock, breaker, self._rate, Concurrency(tuning.concurrency))
        self._provider_state = store.provider_state
        ladder = Ladder(mend_after=tuning.mend_after)
        self._ladder = ladder
        self._hand = Hand()
        doubts = Doubts(store.dead_letter_state, now=clock.now, report_store=report_store)
        self._follower = Follower(publisher, self._hand, doubt=doubts.raise_one)
        self._intake = Intake(self._hand, self._follower)
        self._consumer = Consumer(
            consuming, SEND_QUEUE, prefetch=tuning.first_prefetch, on_delivery=self._intake.take_over
        )
        self._tally = Tally(store.outcomes, clock)
        self._recorder = Recorder(
            statuses,
            self._follower,
            clock,
            batch_size=tuning.batch_size,
            batch_wait_s=tuning.batch_wait_s,
            report_store=report_store,
            judge=self._rejudge,
            count=self._tally.count,
        )
        self._judge = Judge(
            store,
            clock,
            self._follower,
            ladder,
            report_store=report_store,
            again=self._intake.again,
            record=self._recorder.put,
            doubt=doubts.raise_one,
        )
        give_back = GiveBack(
            statuses,
            self._follower,
            clock,
            mend_after=tuning.mend_after,
            report_store=report_store,
            judge=self._rejudge,
        )
        self._deliverer = Deliverer(
            provider,
            give_back,
            ladder,
            clock,
            workers=tuning.concurrency,
            backlog=2 * tuning.batch_size,
            refusal_statuses=tuning.refusal_statuses,
            admission=admission,
            pause_all=self._pause_all,
            record=self._recorder.put,
        )
        self._prefetch = Prefetch(
            self._consumer,
            breaker,
            self._intake,
            changed=changed,
            finished_per_s=admission.ended_lately,
            concurrency=tuning.concurrency,
            most=tuning.most_prefetch,
            rate_per_s=tuning.rate_per_s,
        )
        checker = Checker(
            store,
            clock,
            give_back,
            report_store=report_store,
            pause=breaker.pause,
            deliver=self._deliverer.put,
            record=self._record_without_call,
        )
        self._claimer = Claimer(
            self._intake,
            statuses,
            self._deliverer,
            sender=tuning.sender,
            clock=clock,
            batch_size=tuning.batch_size,
            batch_wait_s=tuning.batch_wait_s,
            mend_after=tuning.mend_after,
            report_store=report_store,
            check=checker.check,
            judge=self._judge.judge,
            let_go=self._follower.let_go,
        )

    async def run(self, stop: asyncio.Event, *, stop_within_s: float) -> None:
        """Work until the stop; then finish what is in hand, but not for longer than `stop_within_s` seconds.

        The closing of the channel comes after that; with a broker that does not answer it takes its own few seconds.
        """
        async with asyncio.TaskGroup() as group:
            consuming = group.create_task(self._consumer.run())
            claiming = group.create_task(self._claimer.run())
            working = [
                group.create_task(self._deliverer.run()),
                group.create_task(self._recorder.run()),
                group.create_task(self._tally.run()),
                group.create_task(self._prefetch.run()),
                group.create_task(watch_senders(self._rate, self._queues)),
                group.create_task(watch_pause(self._provider_state, self._breaker.pause)),
            ]
            acking = group.create_task(self._hand.ack_settled(self._consumer))
            await stop.wait()
            log.info("sender.stopping", tasks=len(self._hand))
            await self._finish(consuming, claiming, stop_within_s)
            for work in (consuming, claiming, *working):
                work.cancel()
            await self._follower.stop()
            self._hand.close()
            await asyncio.wait([acking], timeout=LAST_ACK_S)
            acking.cancel()
        await self._queues.close()
        await self._consumer.close()

    async def _finish(self, consuming: "asyncio.Task[None]", claiming: "asyncio.Task[None]", within_s: float) -> None:
        """No new claims, no new calls; calls under way end, outcomes are recorded, the rest is handed over."""
        try:
            async with asyncio.timeout(within_s):
                self._deliverer.stop()
                self._claimer.stop()
                self._intake.close()
                consuming.cancel()
                await asyncio.wait([consuming, claiming])
                await self._hand.until_empty()
                await self._follower.until_idle()
        except TimeoutError:
            log.warning("sender.stopped_with_work", within_s=within_s, tasks=len(self._hand))

    async def _pause_all(self, until: datetime) -> None:
        """Tell all senders of a pause; if the store is away, each learns it from the provider itself."""
        try:
            await self._provider_state.pause(until)
        except StoreUnavailable as error:
            log.warning("pause.not_told", error=str(error))
        except Exception:
            log.exception("pause.not_told")

    async def _rejudge(self, tasks: list[Task]) -> None:
        await self._judge.judge(tasks)

    def _record_without_call(self, claimed: ClaimedTask, record: Record) -> None:
        message = claimed.message
        step = self._ladder.step(message.attempt, message.replayed_after)
        self._recorder.put(Finished(claimed.task, claimed.claim.token, record, message.client_id, step))
