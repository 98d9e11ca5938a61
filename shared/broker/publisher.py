"""Publisher: persistent, mandatory, confirmed, with a bounded number in flight.

A publish that has returned is on the disk of a quorum. One that was lost in between is tried again, so what is
published may be there twice: every consumer of Mailrun is made for that.
"""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import aiormq
import structlog
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

from shared.broker.gateway import Gateway, close_channel, describe, is_loss
from shared.errors import BrokerUnavailable
from shared.tasks import retrieve

IN_FLIGHT = 200  # measured on 2 cores: one by one 600/s, 50 to 200 in flight 5,500/s, no gain above
CONFIRM_TIMEOUT_S = 10.0
PERSISTENT = int(DeliveryMode.PERSISTENT)
RETRY_WAIT_S = 0.5

log = structlog.get_logger()


class NotTaken(BrokerUnavailable):
    """It is certain that the broker has not taken it."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A body and where it goes."""

    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str | int | bool] = field(default_factory=dict)


class Publisher:
    """Publishes over a connection of its own."""

    def __init__(self, gateway: Gateway, *, in_flight: int = IN_FLIGHT) -> None:
        """`in_flight`: most publishes that wait for their confirm at once."""
        self._gateway = gateway
        self._in_flight = in_flight
        self._name = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self._slots = asyncio.Semaphore(in_flight)
        self._channel: AbstractChannel | None = None  # aio-pika itself keeps channels by weak references only
        self._underlay: aiormq.Channel | None = None
        self._opening: asyncio.Task[aiormq.Channel] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def publish(self, publication: Publication, *, within_s: float) -> bool:
        """Publish, and try again until it is confirmed.

        Args:
            within_s: time for all tries, seconds.

        Returns:
            Whether it may be there twice: a try before the last was neither confirmed nor refused.

        Raises:
            BrokerUnavailable: it was not confirmed within the time. It may be in the queue all the same.
        """
        return await self.publish_all([publication], within_s=within_s)

    async def publish_all(self, publications: Iterable[Publication], *, within_s: float) -> bool:
        """Publish many, `in_flight` at a time.

        Returns:
            Whether any of them may be there twice.

        Raises:
            BrokerUnavailable: at least one was not confirmed within the time.
        """
        waiting = deque(publications)
        many = _Many(waiting)
        workers = min(self._in_flight, len(waiting))
        try:
            async with asyncio.timeout(within_s):
                if workers == 1:
                    await self._work(many)
                else:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(workers):
                            group.create_task(self._work(many))
        except TimeoutError as error:
            why = f": {describe(many.cause)}" if many.cause else ""
            raise BrokerUnavailable(f"not confirmed within {within_s} s{why}") from (many.cause or error)
        return many.may_be_double

    async def _work(self, many: "_Many") -> None:
        async with self._slots:
            while many.waiting:
                publication = many.waiting.popleft()
                while True:
                    try:
                        await self._try(publication)
                        break
                    except BrokerUnavailable as error:
                        many.cause = error
                        many.may_be_double = many.may_be_double or not isinstance(error, NotTaken)
                        await asyncio.sleep(RETRY_WAIT_S)

    async def _try(self, publication: Publication) -> None:
        channel = await self._ready()
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                await channel.basic_publish(
                    publication.body,
                    exchange=publication.exchange,
                    routing_key=publication.routing_key,
                    properties=aiormq.spec.Basic.Properties(
                        content_type="application/json",
                        headers=dict(publication.headers) or None,
                        delivery_mode=PERSISTENT,
                        message_id=f"{self._name}-{next(self._numbers)}",  # by which a returned one is told apart
                    ),
                    mandatory=True,
                    wait=False,  # for the socket; the confirm is waited for, and bounds what is in flight
                )
        except DeliveryError as error:  # returned as unroutable, or refused with a nack
            log.warning("publish.refused", routing_key=publication.routing_key, error=describe(error))
            await self._gateway.declare_again()
            raise NotTaken(describe(error)) from error
        except ChannelNotFoundEntity as error:  # some exchange was deleted by hand: this one's, or another's
            log.warning("publish.refused", routing_key=publication.routing_key, error=describe(error))
            await self._gateway.declare_again()
            raise BrokerUnavailable(describe(error)) from error
        except BaseException as error:
            if not is_loss(error):
                raise
            if isinstance(error, TimeoutError):
                self._give_up(channel)
            raise BrokerUnavailable(describe(error)) from error

    async def _ready(self) -> aiormq.Channel:
        """A channel to publish on. Whoever asks while it is opened, shares it, and so all go on in their order.

        Raises:
            NotTaken: the connection went away meanwhile.
        """
        underlay = self._underlay
        if underlay is not None and not underlay.is_closed and self._is_current():
            return underlay
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open(), name="broker channel")
            self._opening.add_done_callback(retrieve)  # everybody who asked may have given up
        try:
            return await asyncio.shield(self._opening)
        except BaseException as error:
            if not is_loss(error) and not isinstance(error, BrokerUnavailable):
                raise
            raise NotTaken(describe(error)) from error

    def _is_current(self) -> bool:
        return self._channel is not None and self._gateway.is_current(self._channel)

    async def _open(self) -> aiormq.Channel:
        self._channel = await self._gateway.channel()
        self._underlay = cast(aiormq.Channel, await self._channel.get_underlay_channel())
        return self._underlay

    def _give_up(self, underlay: aiormq.Channel) -> None:
        """Write nothing more to a channel on which no confirm comes: it would all be there twice when it is read."""
        if self._underlay is not underlay or self._channel is None:
            return  # another publish has done so
        self._gateway.distrust(self._channel)
        self._closing = asyncio.create_task(close_channel(self._channel), name="broker channel given up")
        self._closing.add_done_callback(retrieve)
        self._channel = self._underlay = None


@dataclass(slots=True)
class _Many:
    """Publications that are published together: what waits, the last trouble, and whether any may be there twice."""

    waiting: deque[Publication]
    cause: BrokerUnavailable | None = None
    may_be_double: bool = False
