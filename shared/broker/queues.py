"""Queues as they are now: how much lies in them, and taking single messages out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import aiormq
from aio_pika.abc import AbstractChannel

from shared.broker.acks import Acks
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway, close_channel, describe, is_loss
from shared.errors import BrokerUnavailable

RPC_TIMEOUT_S = 10.0

MOST_TAKEN = 25
"""Most messages to take before they are acked. RabbitMQ settles each one that was taken singly by a command of its own,
and its channel holds back what is beyond 32 of these; closed then, it forgets them, and the messages are back in the
queue although they were acked. Seen on 3.10: of 90 acks behind which the channel was closed, 33 counted. Source:
quorum_commands_soft_limit, and rabbit_fifo_client.erl.
"""


@dataclass(frozen=True, slots=True)
class Depth:
    """Messages ready to be delivered, and consumers that would take them."""

    ready: int
    consumers: int


class DepthReader(Protocol):
    """Whoever can tell how deep a queue is."""

    async def depth(self, queue: str) -> Depth: ...


class QueueReader:
    """Looks at queues over one channel, which is opened anew when it was lost."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._channel: AbstractChannel | None = None
        self._acks: Acks | None = None

    async def depth(self, queue: str) -> Depth:
        """What is ready in a queue.

        Raises:
            BrokerUnavailable: the broker is away, or the queue is not there (and is being declared again).
        """
        async with self._channel_for_one_call() as (channel, _):
            declared = await channel.queue_declare(queue, passive=True)
        return Depth(ready=declared.message_count or 0, consumers=declared.consumer_count or 0)

    async def take(self, queue: str) -> Delivery | None:
        """The first ready message of a queue, to be settled and acked by `ack`; None when there is none.

        Raises:
            BrokerUnavailable: as for `depth`.
        """
        async with self._channel_for_one_call() as (channel, acks):
            return Delivery.of(await channel.basic_get(queue), acks)

    async def ack(self) -> None:
        """Ack what was taken and settled."""
        if self._acks is not None:
            await self._acks.flush()

    async def close(self) -> None:
        """Close the channel: what was taken and not acked returns to its queue."""
        if self._acks is not None:
            self._acks.give_up()
        if self._channel is not None:
            await close_channel(self._channel)
        self._channel = self._acks = None

    @asynccontextmanager
    async def _channel_for_one_call(self) -> AsyncIterator[tuple[aiormq.abc.AbstractChannel, Acks]]:
        """The channel, for one call on it. If that fails, the channel is given up, a missing queue declared again."""
        try:
            opened = await self._opened()
            async with asyncio.timeout(RPC_TIMEOUT_S):
                yield opened
        except BaseException as error:
            if not is_loss(error):
                raise
            await self.close()
            if isinstance(error, aiormq.exceptions.ChannelNotFoundEntity):
                await self._gateway.declare_again()
            raise BrokerUnavailable(describe(error)) from error

    async def _opened(self) -> tuple[aiormq.abc.AbstractChannel, Acks]:
        if self._channel is None or self._acks is None or not self._acks.is_open:
            await self.close()
            self._channel = await self._gateway.channel(within_s=RPC_TIMEOUT_S)
            self._acks = Acks(await self._channel.get_underlay_channel())
        return await self._channel.get_underlay_channel(), self._acks
