"""Consumer: deliveries of one queue, handed over to the application, over any number of reconnections.

The callback only takes a delivery over; the work is the application's own. aiormq cancels callbacks in flight when a
channel closes, and work must not die with a channel.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

import aiormq
import structlog
from aio_pika.abc import AbstractChannel
from aiormq.abc import DeliveredMessage

from shared.broker.acks import Acks
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway, close_channel, describe, is_being_cancelled, is_loss
from shared.errors import BrokerUnavailable

RPC_TIMEOUT_S = 10.0
RETRY_WAIT_S = 0.5
SILENCE_S = 10.0

log = structlog.get_logger()


class Wait(Enum):
    """How waiting for deliveries ends."""

    LOST = auto()  # the channel or the consumer is
    ANOTHER_PREFETCH = auto()  # is wanted, and there is room for it
    SILENT = auto()  # nothing came for `SILENCE_S`, and nothing is in hand


class Consumer:
    """Consumes one queue over a gateway."""

    def __init__(self, gateway: Gateway, queue: str, *, prefetch: int, on_delivery: Callable[[Delivery], None]) -> None:
        """
        Args:
            queue: name of the queue; the topology declares it.
            prefetch: most deliveries that are unacked at a time.
            on_delivery: takes a delivery over, at once, without waiting.
        """
        self._gateway = gateway
        self._queue = queue
        self._prefetch = prefetch
        self._begun_prefetch = 0  # what the last consumer was begun with; 0 when that was lost
        self._on_delivery = on_delivery
        self._acks: Acks | None = None
        self._channel: AbstractChannel | None = None
        self._lost = asyncio.Event()
        self._stirred = asyncio.Event()  # another prefetch is wanted, or something was acked
        self._delivered = False  # anything, since it was last looked at

    @property
    def prefetch(self) -> int:
        """Most deliveries that are unacked at a time."""
        return self._prefetch

    def set_prefetch(self, prefetch: int) -> None:
        """Change it. The broker holds a consumer to what it began with, so it begins anew, on the same channel.

        To the new consumer the broker does not count what the old one has left. So it waits, and the old consumer goes
        on, until no more than the new prefetch is unacked. One of half as much, or less, waits for nothing and comes on
        top: at a provider that turns slow, what is urgent must not stand behind all that was taken before. So however
        often it changes, never is more unacked than three times the largest.
        """
        self._prefetch = prefetch
        self._stirred.set()

    async def run(self) -> None:
        """Consume until cancelled; then the consumer is cancelled at the broker, and the channel stays open for acks.

        Cancel this task first, settle what was delivered, `close`, and only then close the gateway: acking on a
        channel that is being closed costs the whole connection.
        """
        while True:
            try:
                await self._consume()
            except BrokerUnavailable as error:
                log.warning("consumer.waits", queue=self._queue, error=describe(error))
                await asyncio.sleep(RETRY_WAIT_S)
            if is_being_cancelled():  # aiormq may turn it into an error of the channel (seen while one began anew)
                raise asyncio.CancelledError

    async def flush_acks(self) -> None:
        """Ack what has been settled."""
        acks = self._acks
        if acks is None:
            return
        await acks.flush()
        self._stirred.set()
        if acks is self._acks and not acks.is_open:
            self._lost.set()  # what lies unacked in the channel comes again only when that is closed

    async def close(self) -> None:
        """Ack all that is settled, and close the channel; the broker delivers again whatever is not."""
        if self._acks is not None:
            await self._acks.flush(last=True)
        await self._give_up_channel()

    async def _consume(self) -> None:
        self._channel = await self._gateway.channel()
        try:
            end = await self._consume_on(self._channel)
        except BrokerUnavailable:
            self._begun_prefetch = 0
            await self._give_up_channel()
            raise
        await self._give_up_channel()
        if end is Wait.LOST:
            self._begun_prefetch = 0
            log.warning("consumer.lost", queue=self._queue)
            # A queue that was deleted by hand is declared again before the next try.
            await self._gateway.declare_again()

    async def _consume_on(self, channel: AbstractChannel) -> Wait:
        """Consume until the channel or the consumer is lost, or there is silence.

        In silence another channel takes this one's place. RabbitMQ 3.10 does not tell the consumers of a quorum queue
        that it was deleted if it is declared again within a moment, as other processes of ours do. It then gives the
        messages of the new queue to the old channel, which takes them for ones that it has seen, and drops them: they
        are unacked, and nobody has them, until the channel is closed (seen with 3.10.8; 4.0 cancels such a consumer).
        """
        lost = self._lost = asyncio.Event()
        try:
            async with asyncio.timeout(RPC_TIMEOUT_S):
                underlay = await channel.get_underlay_channel()
                channel.close_callbacks.add(lambda *_: lost.set())
                underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
                acks = self._acks = Acks(underlay)
                consumer_tag = await self._begin(underlay, acks)
            while (end := await self._wait(lost, underlay, acks, consumer_tag)) is not Wait.LOST:
                async with asyncio.timeout(RPC_TIMEOUT_S):
                    await underlay.basic_cancel(consumer_tag)
                if end is Wait.SILENT:
                    break
                async with asyncio.timeout(RPC_TIMEOUT_S):
                    consumer_tag = await self._begin(underlay, acks)
            return end
        except BaseException as error:
            if not is_loss(error):
                raise
            if isinstance(error, aiormq.exceptions.ChannelNotFoundEntity):
                await self._gateway.declare_again()
            if isinstance(error, TimeoutError):
                self._gateway.distrust(channel)
            raise BrokerUnavailable(describe(error)) from error

    async def _begin(self, underlay: aiormq.abc.AbstractChannel, acks: Acks) -> str:
        """Begin to consume with the prefetch that is wanted now; the consumer's tag."""
        prefetch = self._prefetch
        await underlay.basic_qos(prefetch_count=prefetch)
        started = await underlay.basic_consume(self._queue, self._take_over(acks))
        if prefetch != self._begun_prefetch:  # a new beginning after silence is not told
            log.info("consumer.started", queue=self._queue, prefetch=prefetch)
        self._begun_prefetch = prefetch
        return str(started.consumer_tag)

    async def _until_another_prefetch(self, acks: Acks) -> None:
        """Until another prefetch is wanted and there is room for it, see `set_prefetch`."""
        while not self._may_change(acks):
            self._stirred.clear()
            await self._stirred.wait()

    def _may_change(self, acks: Acks) -> bool:
        if self._prefetch == self._begun_prefetch:
            return False
        return 2 * self._prefetch <= self._begun_prefetch or acks.unacked <= self._prefetch

    async def _wait(
        self, lost: asyncio.Event, underlay: aiormq.abc.AbstractChannel, acks: Acks, consumer_tag: str
    ) -> Wait:
        """Wait while all is well."""
        waits = [asyncio.create_task(wait) for wait in (lost.wait(), self._until_another_prefetch(acks))]
        try:
            while not (await asyncio.wait(waits, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                delivered, self._delivered = self._delivered, False
                if not delivered and not acks.unacked:
                    return Wait.SILENT
        except asyncio.CancelledError:
            await self._cancel(underlay, consumer_tag)
            raise
        finally:
            for wait in waits:
                wait.cancel()
        return Wait.LOST if lost.is_set() else Wait.ANOTHER_PREFETCH

    async def _give_up_channel(self) -> None:
        if self._acks is not None:
            self._acks.give_up()
        channel, self._channel = self._channel, None  # one that is being closed is not closed once more
        if channel is not None:
            await close_channel(channel)

    def _take_over(self, acks: Acks) -> Callable[[DeliveredMessage], Any]:
        async def take_over(message: DeliveredMessage) -> None:
            self._delivered = True
            if delivery := Delivery.of(message, acks):
                self._on_delivery(delivery)

        return take_over

    async def _cancel(self, underlay: aiormq.abc.AbstractChannel, consumer_tag: str) -> None:
        try:
            async with asyncio.timeout(RPC_TIMEOUT_S):
                await underlay.basic_cancel(consumer_tag)
        except BaseException as error:
            if not is_loss(error):
                raise
