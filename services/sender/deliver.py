"""Deliver: a fixed number of workers call the provider, each one message at a time.

Measured: 64 workers beat a task per message; more help only with a slow provider.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from services.sender.breaker import LONGEST_PAUSE_S, Breaker
from services.sender.error_text import error_text
from services.sender.give_back import GiveBack
from services.sender.ladder import Ladder
from services.sender.outcome import Verdict, judge
from services.sender.provider.provider import Answer, Call, Provider, Unsendable
from services.sender.record import Finished
from services.sender.task import ReadyTask
from shared.domain.client import mask_phone
from shared.domain.message import Outcome, status_after
from shared.runtime.clock import Clock
from shared.store.message_documents import Attempt
from shared.store.message_statuses import Record

RATE_WINDOW_S = 1.0

log = structlog.get_logger()


class Deliverer:
    """Calls the provider for what was checked, and passes the outcomes on."""

    def __init__(
        self,
        provider: Provider,
        give_back: GiveBack,
        ladder: Ladder,
        clock: Clock,
        *,
        concurrency: int,
        backlog: int,
        refusal_statuses: frozenset[int],
        breaker: Breaker,
        pause_all: Callable[[datetime], Awaitable[None]],
        record: Callable[[Finished], None],
    ) -> None:
        """
        Args:
            concurrency: calls under way at once.
            backlog: most claimed messages that wait for a worker.
            breaker: says whether a call may start, and is told of every verdict.
            pause_all: has all senders leave the provider alone until an instant.
            record: takes the outcomes.
        """
        self._provider = provider
        self._give_back = give_back
        self._ladder = ladder
        self._clock = clock
        self._concurrency = concurrency
        self._backlog = backlog
        self._refusal_statuses = refusal_statuses
        self._breaker = breaker
        self._pause_all = pause_all
        self._record = record
        self._queue: asyncio.Queue[ReadyTask] = asyncio.Queue()
        self._busy = 0
        self._finished_at_s: deque[float] = deque()
        self._freed = asyncio.Event()
        self._stopping = False

    def put(self, ready: ReadyTask) -> None:
        """Take a message to deliver, at once."""
        self._queue.put_nowait(ready)

    def free(self) -> int:
        """How many more claims could be started within a second: free workers, and what the last second finished.

        While the breaker is open: one, the probe, when it is time for it.
        """
        if self._breaker.wait_s() > 0:
            return 0
        if self._breaker.is_open:
            return 0 if self._held else 1
        backlog = min(self._backlog, self.finished_lately())
        return max(0, self._concurrency + backlog - self._held)

    def finished_lately(self) -> int:
        """Messages finished in the last second."""
        since_s = self._clock.monotonic_s() - RATE_WINDOW_S
        while self._finished_at_s and self._finished_at_s[0] < since_s:
            self._finished_at_s.popleft()
        return len(self._finished_at_s)

    @property
    def _held(self) -> int:
        """Claimed messages that are being delivered, or wait for it."""
        return self._busy + self._queue.qsize()

    async def until_free(self) -> None:
        """Wait until at least one claim could be started."""
        while self.free() == 0:
            self._freed.clear()
            wait_s = self._breaker.wait_s()
            if wait_s == 0 and not self._held:
                continue  # the breaker's wait has ended since it was asked for: nobody would wake us
            try:
                async with asyncio.timeout(wait_s or None):
                    await self._freed.wait()
            except TimeoutError:
                pass

    def stop(self) -> None:
        """Start no call any more; what is waiting for a worker is handed over to other senders."""
        self._stopping = True

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as workers:
            for _ in range(self._concurrency):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            ready = await self._queue.get()
            self._busy += 1
            try:
                await self._deliver(ready)
            finally:
                self._busy -= 1
                self._finished_at_s.append(self._clock.monotonic_s())
                self._freed.set()

    async def _deliver(self, ready: ReadyTask) -> None:
        message = ready.claimed.message
        if not self._breaker.lets_through():
            await self._not_started(ready)
            return
        at = self._clock.now()
        try:
            answer = await self._call(ready)
        except Unsendable as error:
            answer = Answer(None, None, str(error), started=True, written=False, latency_ms=None)
            verdict = Verdict(Outcome.PERMANENT, "unsendable", called=False)
        else:
            verdict = judge(answer, refusal_statuses=self._refusal_statuses)
        if not answer.started:
            await self._not_started(ready)
            return
        log.info(
            "message.attempted",
            mailing_id=message.mailing_id,
            message_id=message.id,
            client_id=message.client_id,
            attempt=message.attempt,
            phone=mask_phone(message.phone),
            outcome=verdict.outcome.value,
            reason=verdict.reason,
            http_status=answer.http_status,
            duration_ms=answer.latency_ms,
            error=answer.error,
            request_id=ready.claimed.task.command.request_id,
        )
        self._breaker.hear(verdict)
        if await self._must_wait(verdict, answer):
            await self._give_back.put_off([ready.claimed], reason=verdict.reason or "refused")
            return
        self._record(
            self._finished(
                ready,
                verdict,
                Attempt(at, verdict.outcome, answer.http_status, answer.latency_ms, answer.error),
            )
        )

    async def _must_wait(self, verdict: Verdict, answer: Answer) -> bool:
        """Whether a certain refusal does not count: the provider asks for a pause, is away, or does not let us call."""
        if verdict.outcome is Outcome.UNAUTHORISED:
            return True
        if verdict.outcome is not Outcome.REFUSED:
            return False
        if answer.retry_after_s:
            until = self._clock.now() + timedelta(seconds=min(LONGEST_PAUSE_S, answer.retry_after_s))
            self._breaker.pause(until)
            await self._pause_all(until)
            return True
        return not verdict.called or self._breaker.is_open

    async def _call(self, ready: ReadyTask) -> Answer:
        """Call; what a provider must not raise is an unknown outcome of this message, and of no other."""
        message = ready.claimed.message
        call = Call(
            message.id,
            message.phone,
            ready.text,
            lambda: self._start_within_s(ready),
            ready.end_within_s(self._clock),
        )
        try:
            return await self._provider.deliver(call)
        except Unsendable:
            raise
        except Exception as error:
            log.exception("provider.failed", mailing_id=message.mailing_id, message_id=message.id)
            return Answer(None, None, error_text(error), started=True, written=True, latency_ms=None)

    def _start_within_s(self, ready: ReadyTask) -> float:
        return 0.0 if self._stopping else ready.start_within_s(self._clock)

    async def _not_started(self, ready: ReadyTask) -> None:
        """The mailing's end came first, the claim is too old, this sender stops, or the breaker is open."""
        end_at, now = ready.mailing.end_at, self._clock.now()
        if end_at is not None and end_at <= now:
            await self._give_back.park([ready.claimed], reason="mailing_ended", due_at=now)
        else:
            await self._give_back.hand_over([ready.claimed])

    def _finished(self, ready: ReadyTask, verdict: Verdict, attempt: Attempt) -> Finished:
        message = ready.claimed.message
        status, ambiguous = status_after(
            verdict.outcome,
            attempt=message.attempt,
            last_attempt=message.last_attempt,
            ambiguous=message.ambiguous,
            on_unknown=ready.mailing.on_unknown,
        )
        record = Record(
            message_id=message.id,
            status=status,
            ambiguous=ambiguous,
            reason=verdict.reason,
            due_at=self._ladder.due_at(status, message.attempt, message.replayed_after, self._clock.now()),
            attempt=attempt,
            revision=ready.mailing.revision,
        )
        step = self._ladder.step(message.attempt, message.replayed_after)
        return Finished(ready.claimed.task, ready.claimed.claim.token, record, message.client_id, step)
