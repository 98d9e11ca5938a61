"""Topology: every exchange, queue and binding of Mailrun, as data. Nobody declares anything anywhere else."""

from dataclasses import dataclass, field
from enum import StrEnum

from aio_pika.abc import AbstractChannel

from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import DEAD_ROUTING_KEY
from shared.contracts.events import MAILING_EVENTS_PATTERN
from shared.domain.retry import LADDER, RetryStep


class ExchangeName(StrEnum):
    """The exchanges."""

    MAILINGS = "mailings"
    MESSAGES = "messages"
    RETRY = "messages.retry"
    DEAD = "messages.dead"


SEND_QUEUE = "messages.send"
DEAD_QUEUE = "messages.dead"
WAKEUPS_QUEUE = "scheduler.wakeups"

NEVER_TOO_OFTEN = 2**31 - 1
"""Delivery limit of every queue that is consumed: none, in a form that RabbitMQ 3.10 and 4.x both accept.

Since 4.0 a quorum queue gives a message up after 20 deliveries unless it says otherwise, and a crash of a consumer
counts for each message that it held, as a look at `messages.dead` in the console does for each that it shows. How often
a message was tried is told by the store alone. 4.x takes -1 for "no limit", 3.10 refuses it; a redelivery a second
reaches this number in 68 years. A policy may set a lower one, which then counts: let it be.
"""


def retry_queue(step: RetryStep) -> str:
    """Name of the queue, and its routing key, in which commands wait for a step of the ladder."""
    return f"messages.retry.{step.name}"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; `kind` is "direct" or "topic"."""

    name: ExchangeName
    kind: str


@dataclass(frozen=True, slots=True)
class DeadLetterTo:
    """Where a queue sends what expires in it or what the broker gives up on."""

    exchange: ExchangeName
    routing_key: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue with one binding.

    Attributes:
        dead_letter_to: where goes what expires, is rejected, or what the broker gives up on.
        ttl_s: how long a message stays before it is dead-lettered; such a queue is a wait, and nobody consumes it.
    """

    name: str
    exchange: ExchangeName
    routing_key: str
    dead_letter_to: DeadLetterTo | None = None
    ttl_s: int | None = None

    @property
    def arguments(self) -> dict[str, str | int]:
        """What is fixed at the declaration. Tunables belong into policies."""
        arguments: dict[str, str | int] = {"x-queue-type": "quorum"}
        if self.dead_letter_to is not None:
            # At-least-once needs reject-publish: with drop-head the broker silently falls back to at-most-once.
            arguments |= {
                "x-dead-letter-exchange": self.dead_letter_to.exchange.value,
                "x-dead-letter-routing-key": self.dead_letter_to.routing_key,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",
            }
        if self.ttl_s is not None:
            arguments["x-message-ttl"] = self.ttl_s * 1_000
        else:
            arguments["x-delivery-limit"] = NEVER_TOO_OFTEN
        return arguments


@dataclass(frozen=True, slots=True)
class Topology:
    """All that has to exist before anything is published or consumed."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...] = field(default=())

    async def declare(self, channel: AbstractChannel) -> None:
        """Declare all of it; what exists already, in the same form, is left alone."""
        for exchange in self.exchanges:
            await channel.declare_exchange(exchange.name, exchange.kind, durable=True)
        for queue in self.queues:
            declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
            await declared.bind(queue.exchange, queue.routing_key)


TO_THE_DEAD = DeadLetterTo(ExchangeName.DEAD, DEAD_ROUTING_KEY)

TOPOLOGY = Topology(
    exchanges=(
        Exchange(ExchangeName.MAILINGS, "topic"),
        Exchange(ExchangeName.MESSAGES, "direct"),
        Exchange(ExchangeName.RETRY, "direct"),
        Exchange(ExchangeName.DEAD, "direct"),
    ),
    queues=(
        Queue(WAKEUPS_QUEUE, ExchangeName.MAILINGS, MAILING_EVENTS_PATTERN, dead_letter_to=TO_THE_DEAD),
        Queue(DEAD_QUEUE, ExchangeName.DEAD, DEAD_ROUTING_KEY),
        Queue(SEND_QUEUE, ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, dead_letter_to=TO_THE_DEAD),
        *(
            Queue(
                retry_queue(step),
                ExchangeName.RETRY,
                retry_queue(step),
                dead_letter_to=DeadLetterTo(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY),
                ttl_s=step.delay_s,
            )
            for step in LADDER
        ),
    ),
)
