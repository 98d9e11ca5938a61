"""Gateway: one connection to RabbitMQ that comes back, to the next node where there are several.

It connects, declares the topology, and after every loss does both again, until it is closed. Whoever uses it asks
for a connection and waits; a channel is opened anew on each one. aio-pika's own robust connection is not used: it
fails the first connect at once, comes back after 5 s at the earliest, and restores consumers whose deliveries, and
so whose acks, belong to a channel that is gone.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Self
from weakref import WeakKeyDictionary

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from yarl import URL

from shared.addresses import one_address_each
from shared.broker.topology import TOPOLOGY, Topology
from shared.errors import BrokerUnavailable
from shared.tasks import retrieve

HEARTBEAT_S = 10  # a dead peer is noticed after three of these; the default of 60 means minutes
CONNECT_TIMEOUT_S = 5.0
DECLARE_TIMEOUT_S = 10.0  # a node that has just started takes its time for each quorum queue
RECONNECT_FIRST_S = 0.2
RECONNECT_MAX_S = 3.0

log = structlog.get_logger()


def is_loss(error: BaseException) -> bool:
    """Whether an error means a lost broker, or that it did not answer in time (a TimeoutError is an OSError).

    Some do not look it. A channel or connection that is gone raises RuntimeError. aio-pika cancels whoever waits on a
    connection that it declares stuck: a CancelledError that nobody asked for. And when a connection ends just behind
    a whole frame, aiormq fails whoever waits on it with a bare `Exception()` (FutureStore.reject_all without an error).
    """
    if isinstance(error, asyncio.CancelledError):
        return not is_being_cancelled()
    return isinstance(error, CONNECTION_EXCEPTIONS) or type(error) is Exception


def is_being_cancelled() -> bool:
    """Whether somebody has asked the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Gateway:
    """A connection that comes back. `async with Gateway(...)` keeps it up in between."""

    def __init__(self, url: str, *, name: str, report: Callable[[str], None], topology: Topology = TOPOLOGY) -> None:
        """
        Args:
            url: amqp:// or amqps://, with user, password and vhost. Of several hosts, separated by commas, each attempt
                to connect takes the next one, from a random one on: so gateways spread over the nodes of a cluster.
            name: shown in the management console.
            report: told "up", or what is wrong, at every change.
            topology: declared on each new connection.
        """
        query = {"heartbeat": str(HEARTBEAT_S), "name": name}
        self._nodes = [URL(address).update_query(query) for address in one_address_each(url)]
        self._next_node = random.randrange(len(self._nodes))
        self._report = report
        self._topology = topology
        self._connection: AbstractConnection | None = None
        self._channels: WeakKeyDictionary[AbstractChannel, AbstractConnection] = WeakKeyDictionary()
        self._changed = asyncio.Condition()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._declaring: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_up(), name="broker gateway")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing = True  # connecting may swallow a cancellation (seen in one of 25 closed while they connected)
        tasks = [task for task in (self._task, self._declaring) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._set(None)

    async def connection(self, *, within_s: float | None = None) -> AbstractConnection:
        """The connection, as soon as there is one.

        Args:
            within_s: longest wait, seconds; None waits for ever.

        Raises:
            BrokerUnavailable: there is none within the time, or the gateway is closed.
        """
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: self._connection is not None or self._closing)
        except TimeoutError as error:
            raise BrokerUnavailable(f"no connection to RabbitMQ within {within_s} s") from error
        if self._connection is None:
            raise BrokerUnavailable("no connection to RabbitMQ: the gateway was closed")
        return self._connection

    async def channel(self, *, within_s: float | None = None) -> AbstractChannel:
        """A new channel with publisher confirms, on which an unroutable message raises.

        Raises:
            BrokerUnavailable: there is no connection within the time, or it went away.
        """
        connection = await self.connection(within_s=within_s)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        except BaseException as error:
            if is_loss(error):
                if connection is self._connection:  # else another has been made meanwhile
                    self._lost.set()
                raise BrokerUnavailable(f"no channel: {describe(error)}") from error
            raise
        self._channels[channel] = connection
        return channel

    def distrust(self, channel: AbstractChannel) -> None:
        """An answer did not come in time on a channel. Where there are several nodes, take the next one.

        A node that is cut off from the others keeps its clients, and cannot confirm or deliver anything. With one node
        there is nothing better than to wait: it may hold publishers up because it runs out of memory or disk.
        """
        if len(self._nodes) > 1 and self.is_current(channel):
            log.warning("node.left", nodes=len(self._nodes))
            self._lost.set()

    def is_current(self, channel: AbstractChannel) -> bool:
        """Whether a channel is one of the connection that there is now."""
        return self._connection is not None and self._channels.get(channel) is self._connection

    async def declare_again(self) -> None:
        """Declare the topology once more: a queue may have been deleted by hand. Whoever asks meanwhile, shares it.

        Raises:
            BrokerUnavailable: the broker is away, or a queue of another form stands in the way.
        """
        if self._declaring is None or self._declaring.done():
            self._declaring = asyncio.create_task(self._declare(), name="broker topology")
            self._declaring.add_done_callback(retrieve)  # everybody who asked may have given up
        try:
            # Whoever gives up waiting is not held up by the closing of the channel.
            await asyncio.shield(self._declaring)
        except asyncio.CancelledError as error:
            if not is_loss(error):
                raise
            raise BrokerUnavailable("topology not declared: the gateway was closed") from error

    async def _declare(self) -> None:
        channel = await self.channel(within_s=CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(DECLARE_TIMEOUT_S):
                await self._topology.declare(channel)
        except BaseException as error:
            if is_loss(error):
                raise BrokerUnavailable(f"topology not declared: {describe(error)}") from error
            raise
        finally:
            await close_channel(channel)

    async def _keep_up(self) -> None:
        wait_s = RECONNECT_FIRST_S
        while not self._closing:
            try:
                connection = await self._connect()
            except BaseException as error:
                if not is_loss(error):
                    if not isinstance(error, Exception):
                        raise
                    # Whoever waits for a connection would else wait in silence.
                    log.exception("gateway.failed")
                self._report(f"away: {describe(error)}")
                await asyncio.sleep(random.uniform(wait_s / 2, wait_s))
                wait_s = min(RECONNECT_MAX_S, wait_s * 2)
                continue
            wait_s = RECONNECT_FIRST_S
            try:
                if self._closing:
                    return
                await self._set(connection)
                self._report("up")
                await self._lost.wait()
                await self._set(None)
                self._report("away: connection lost")
            finally:
                await _close(connection)

    async def _connect(self) -> AbstractConnection:
        self._lost = lost = asyncio.Event()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await aio_pika.connect(self._take_node())
        try:
            connection.close_callbacks.add(_setter(lost))
            async with asyncio.timeout(DECLARE_TIMEOUT_S):
                channel = await connection.channel()
                await self._topology.declare(channel)
                await channel.close()
        except BaseException:
            await _close(connection)
            raise
        return connection

    def _take_node(self) -> URL:
        node = self._nodes[self._next_node]
        self._next_node = (self._next_node + 1) % len(self._nodes)
        return node

    async def _set(self, connection: AbstractConnection | None) -> None:
        async with self._changed:
            self._connection = connection
            self._changed.notify_all()


def _setter(event: asyncio.Event) -> Callable[..., None]:
    return lambda *_: event.set()


def describe(error: BaseException) -> str:
    """An error in a few words, without the URL and so without the password."""
    return f"{type(error).__name__}: {error}"[:200] if str(error) else type(error).__name__


async def close_channel(channel: AbstractChannel) -> None:
    """Close a channel that may be gone already, and do not wait longer than a while.

    If whoever waits is cancelled, it closes by itself: behind a close that is cut short aiormq sends another one, which
    costs the whole connection. It does so itself when the broker is silent for as long as a heartbeat.
    """
    await _close(channel)


async def _close(opened: AbstractChannel | AbstractConnection) -> None:
    """Close it, and do not wait longer than a while: to a peer that does not read, aiormq goes on writing."""
    closing = asyncio.ensure_future(opened.close())
    closing.add_done_callback(retrieve)
    await asyncio.wait([closing], timeout=CONNECT_TIMEOUT_S)
