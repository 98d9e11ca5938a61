"""Deliver: a fixed number of workers call the provider, each one message at a time, as many as are admitted.

Measured: 64 workers beat a task per message; more help only with a slow provider.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from services.sender.admission import Admission, asked_pause_s
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
        workers: int,
        backlog: int,
        refusal_statuses: frozenset[int],
        admission: Admission,
        pause_all: Callable[[datetime], Awaitable[None]],
        record: Callable[[Finished], None],
    ) -> None:
        """
        Args:
            workers: calls under way at once, at most.
            backlog: most claimed messages that wait for their start.
            admission: says whether a call may start, and is told of every verdict.
            pause_all: has all senders leave the provider alone until an instant.
            record: takes the outcomes.
        """
        self._provider = provider
        self._give_back = give_back
        self._ladder = ladder
        self._clock = clock
        self._workers = workers
        self._backlog = backlog
        self._refusal_statuses = refusal_statuses
        self._admission = admission
        self._pause_all = pause_all
        self._record = record
        self._waiting: deque[ReadyTask] = deque()
        self._starting: asyncio.Queue[ReadyTask] = asyncio.Queue()
        self._calling = 0
        self._timer: asyncio.TimerHandle | None = None
        self._freed = asyncio.Event()
        self._stopping = False

    def put(self, ready: ReadyTask) -> None:
        """Take a message to deliver, at once."""
        self._waiting.append(ready)
        self._start()

    def free(self) -> int:
        """How many more claims could be started within a second."""
        return self._admission.room(calling=self._calling, waiting=len(self._waiting), backlog=self._backlog)

    async def until_free(self) -> None:
        """Wait until at least one claim could be started."""
        while self.free() == 0:
            self._freed.clear()
            try:
                async with asyncio.timeout(self._admission.look_again_s(self._calling + len(self._waiting))):
                    await self._freed.wait()
            except TimeoutError:
                pass

    def stop(self) -> None:
        """Start no call any more; what is waiting for a worker is handed over to other senders."""
        self._stopping = True
        self._start()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._workers):
                    workers.create_task(self._work())
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _start(self) -> None:
        """Give the workers what may start; where it is too early for the next one, look again when it is not."""
        while self._waiting:
            is_over = self._stopping or self._admission.breaker.wait_s() > 0
            if not is_over and not self._admission.may_start(self._calling):
                if self._timer is None and (after_s := self._admission.start_again_s(self._calling)) is not None:
                    self._timer = asyncio.get_running_loop().call_later(after_s, self._start_by_timer)
                return
            self._calling += 1
            self._starting.put_nowait(self._waiting.popleft())
            if is_over:
                return  # whoever takes it, hands over all that wait

    def _start_by_timer(self) -> None:
        self._timer = None
        self._start()

    async def _work(self) -> None:
        while True:
            ready = await self._starting.get()
            try:
                await self._deliver(ready)
            finally:
                self._calling -= 1
                self._start()
                self._freed.set()

    async def _deliver(self, ready: ReadyTask) -> None:
        message = ready.claimed.message
        if self._stopping or not self._admission.breaker.lets_through():
            waiting, self._waiting = self._waiting, deque()
            await self._not_started([ready, *waiting])
            return
        started_at_s = self._clock.monotonic_s()
        at = self._clock.now()
        try:
            answer = await self._call(ready)
        except Unsendable as error:
            answer = Answer(None, None, str(error), started=True, written=False, latency_ms=None)
            verdict = Verdict(Outcome.PERMANENT, "unsendable", called=False)
        else:
            verdict = judge(answer, refusal_statuses=self._refusal_statuses)
        if not answer.started:
            await self._not_started([ready])
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
        self._admission.learn(verdict, answer, started_at_s=started_at_s, calling=self._calling)
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
        if pause_s := asked_pause_s(verdict, answer):
            until = self._clock.now() + timedelta(seconds=pause_s)
            self._admission.breaker.pause(until)
            await self._pause_all(until)
            return True
        return not verdict.called or self._admission.breaker.is_open

    async def _call(self, ready: ReadyTask) -> Answer:
        """Call; what a provider must not raise is an unknown outcome of this message, and of no other."""
        message = ready.claimed.message
        call = Call(
            message.id,
            message.phone,
            ready.text,
            lambda: self._start_within_s(ready),
            ready.end_within_s(self._clock),
            self._admission.may_try_again,
        )
        try:
            return await self._provider.deliver(call)
        except Unsendable:
            raise
        except Exception as error:
            log.exception("provider.failed", mailing_id=message.mailing_id, message_id=message.id)
            return Answer(None, None, error_text(error), started=True, written=True, latency_ms=None)

    def _start_within_s(self, ready: ReadyTask) -> float:
        is_too_late = self._stopping or self._admission.breaker.is_paused
        return 0.0 if is_too_late else ready.start_within_s(self._clock)

    async def _not_started(self, tasks: Sequence[ReadyTask]) -> None:
        """The mailing's end came first, the claim is too old, this sender stops, or the breaker is open."""
        now = self._clock.now()
        ended = [one.claimed for one in tasks if one.mailing.end_at is not None and one.mailing.end_at <= now]
        others = [one.claimed for one in tasks if one.mailing.end_at is None or one.mailing.end_at > now]
        if ended:
            await self._give_back.park(ended, reason="mailing_ended", due_at=now)
        if others:
            await self._give_back.hand_over(others)

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
