"""Follow: what a recorded outcome leads to in the broker, published and confirmed before the command is acked."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import structlog

from services.sender.hand import Hand
from services.sender.task import Task
from shared.broker import publications
from shared.broker.delivery import Delivery
from shared.broker.parking import park
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import ExchangeName, retry_queue
from shared.contracts.commands import SendCommand
from shared.domain.retry import LADDER, YOUNG_CLAIM_STEP, RetryStep
from shared.errors import BrokerUnavailable

PUBLISH_S = 30.0

log = structlog.get_logger()


def retry(task: Task, step: RetryStep) -> Publication:
    """The next attempt, after a step of the ladder."""
    return _command(task, ExchangeName.RETRY, retry_queue(step), attempt=task.command.attempt + 1, recover=False)


def wait(task: Task) -> Publication:
    """The same command once more, recovering, after a while: its message is claimed, or we may not call now."""
    return _command(task, ExchangeName.RETRY, retry_queue(YOUNG_CLAIM_STEP), attempt=task.command.attempt, recover=True)


def later(task: Task) -> Publication:
    """The same command once more after the first step: the provider cannot be called now."""
    return _command(task, ExchangeName.RETRY, retry_queue(LADDER[0]), attempt=task.command.attempt, recover=True)


def hand_over(task: Task) -> Publication:
    """The same command for another sender. Published anew: on RabbitMQ 4.0 to 4.2 a nack counts as a delivery."""
    return _command(task, ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, attempt=task.command.attempt, recover=True)


def dead_letter(task: Task, *, reason: str, client_id: int) -> Publication:
    """The entry of a message that failed, or of which nobody knows."""
    return publications.dead_letter(task.command, reason=reason, client_id=client_id)


def _command(task: Task, exchange: ExchangeName, routing_key: str, *, attempt: int, recover: bool) -> Publication:
    command = task.command.model_copy(update={"attempt": attempt, "recover": recover})
    return Publication(exchange, routing_key, command.to_body())


class Follower:
    """Publishes, and settles what is confirmed. Bounded by the consumer's prefetch, as every task is."""

    def __init__(self, publisher: Publisher, hand: Hand, *, doubt: Callable[[str], Awaitable[None]]) -> None:
        """`doubt`: told whatever may have made the dead letters untrue; returns when that is noted."""
        self._publisher = publisher
        self._hand = hand
        self._doubt = doubt
        self._running: set[asyncio.Task[None]] = set()

    def follow(self, followed: Iterable[tuple[Task, Publication | None]]) -> None:
        """Publish for each task what follows, if anything, and settle it. Does not wait."""
        for task, publication in followed:
            if publication is None:
                self._hand.settle(task)
            else:
                self._run(self._publish_and_settle(task, publication))

    def park(self, delivery: Delivery, *, reason: str) -> None:
        """Put a body that nobody can parse among the dead letters. Does not wait."""
        self._run(park(delivery, reason=reason, publisher=self._publisher, doubt=self._doubt))

    def let_go(self, task: Task) -> None:
        """Settle a task that could not be finished: a scheduler brings its message back (see `containment`)."""
        self._hand.settle(task)

    async def until_idle(self) -> None:
        """Wait until everything is confirmed."""
        while self._running:
            await asyncio.wait(self._running)

    async def stop(self) -> None:
        """Give up what is not confirmed yet: its commands are not acked, and come again."""
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _publish_and_settle(self, task: Task, publication: Publication) -> None:
        try:
            await self._publish(publication)
        except Exception:
            # A scheduler publishes a lost command again, and adds a dead letter that is missing.
            log.exception("message.let_go", stage="follow", message_id=task.message_id)
            if publication.exchange == ExchangeName.DEAD:
                await self._doubt("letter_let_go")
        self._hand.settle(task)

    async def _publish(self, publication: Publication) -> None:
        tried_before = False
        while True:
            try:
                may_be_double = await self._publisher.publish(publication, within_s=PUBLISH_S)
            except BrokerUnavailable as error:
                log.warning("publish.waits", routing_key=publication.routing_key, error=str(error))
                tried_before = True
                continue
            if publication.exchange == ExchangeName.DEAD and (may_be_double or tried_before):
                await self._doubt("letter_published_again")
            return

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(work)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
