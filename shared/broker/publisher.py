"""Publisher: persistent, mandatory, confirmed, with a bounded number in flight.

A publish that has returned is on the disk of a quorum. One that was lost in between is tried again, so what is
published may be there twice: every consumer of Mailrun is made for that.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractExchange
from aio_pika.exceptions import ChannelNotFoundEntity, DeliveryError

from shared.broker.gateway import Gateway, describe, is_loss
from shared.errors import BrokerUnavailable

IN_FLIGHT = 200  # measured on 2 cores: one by one 600/s, 50 to 200 in flight 5,500/s, no gain above
CONFIRM_TIMEOUT_S = 10.0
RETRY_WAIT_S = 0.5

log = structlog.get_logger()


class Refused(BrokerUnavailable):
    """The broker has said for certain that it has not taken it."""


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
        self._slots = asyncio.Semaphore(in_flight)
        self._channel: AbstractChannel | None = None  # aio-pika itself keeps channels by weak references only
        self._exchanges: dict[str, AbstractExchange] = {}
        self._opening = asyncio.Lock()

    async def publish(self, publication: Publication, *, within_s: float) -> bool:
        """Publish, and try again until it is confirmed.

        Args:
            within_s: time for all tries, seconds.

        Returns:
            Whether it may be there twice: a try before the last was neither confirmed nor refused.

        Raises:
            BrokerUnavailable: it was not confirmed within the time. It may be in the queue all the same.
        """
        cause: BaseException | None = None
        may_be_there = False
        try:
            async with asyncio.timeout(within_s), self._slots:
                while True:
                    try:
                        await self._try(publication)
                        return may_be_there
                    except BrokerUnavailable as error:
                        cause = error
                        may_be_there = may_be_there or not isinstance(error, Refused)
                        await asyncio.sleep(RETRY_WAIT_S)
        except TimeoutError as error:
            why = f": {describe(cause)}" if cause else ""
            raise BrokerUnavailable(f"not confirmed within {within_s} s{why}") from (cause or error)

    async def publish_all(self, publications: Iterable[Publication], *, within_s: float) -> bool:
        """Publish many, `in_flight` at a time.

        Returns:
            Whether any of them may be there twice.

        Raises:
            BrokerUnavailable: at least one was not confirmed within the time.
        """
        results = await asyncio.gather(
            *(self.publish(publication, within_s=within_s) for publication in publications), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _try(self, publication: Publication) -> None:
        message = aio_pika.Message(
            publication.body,
            headers=dict(publication.headers),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                exchange = await self._exchange(publication.exchange)
                await exchange.publish(message, publication.routing_key, mandatory=True)
        except (DeliveryError, ChannelNotFoundEntity) as error:
            # Returned as unroutable or not found (deleted by hand), or refused with a nack.
            log.warning("publish.refused", routing_key=publication.routing_key, error=describe(error))
            await self._gateway.declare_again()
            raise Refused(describe(error)) from error
        except BaseException as error:
            if is_loss(error):
                raise BrokerUnavailable(describe(error)) from error
            raise

    async def _exchange(self, name: str) -> AbstractExchange:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._gateway.channel()
                self._exchanges.clear()
            if name not in self._exchanges:
                self._exchanges[name] = await self._channel.get_exchange(name, ensure=False)
            return self._exchanges[name]
