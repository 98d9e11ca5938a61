"""A broker in memory: the send queue, the ladder, the dead letters, and channels that can be lost."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.broker.delivery import Delivery
from shared.broker.publisher import Publication
from shared.broker.queues import Depth
from shared.broker.topology import DEAD_QUEUE, SEND_QUEUE, ExchangeName, retry_queue
from shared.contracts.commands import SendCommand
from shared.domain.retry import LADDER
from tests.integration.protocol.process import Process

DELAYS = {retry_queue(step): timedelta(seconds=step.delay_s) for step in LADDER}


@dataclass(eq=False)
class Entry:
    """What lies in a queue, or is delivered and not acked."""

    body: bytes
    headers: dict[str, Any]
    redelivered: bool = False

    @property
    def command(self) -> SendCommand:
        return SendCommand.from_body(self.body)

    def __str__(self) -> str:
        one = self.command
        marks = ("", " again")[self.redelivered] + ("", " recover")[one.recover]
        return f"{one.message_id}#{one.attempt}{marks}"


class Broker:
    """The queues."""

    def __init__(self) -> None:
        self.send: list[Entry] = []
        self.dead: list[Entry] = []
        self.ladder: list[tuple[datetime, Entry]] = []

    def publish(self, publication: Publication, now: datetime) -> None:
        entry = Entry(publication.body, dict(publication.headers))
        if publication.exchange == ExchangeName.MESSAGES:
            self.send.append(entry)
        elif publication.exchange == ExchangeName.RETRY:
            self.ladder.append((now + DELAYS[publication.routing_key], entry))
        elif publication.exchange == ExchangeName.DEAD:
            self.dead.append(entry)

    def ripen(self, now: datetime) -> None:
        """What has waited long enough in the ladder returns to the send queue."""
        self.send += [entry for due_at, entry in self.ladder if due_at <= now]
        self.ladder = [(due_at, entry) for due_at, entry in self.ladder if due_at > now]

    def wipe(self) -> None:
        self.send, self.dead, self.ladder = [], [], []

    def queue(self, name: str) -> list[Entry]:
        return {SEND_QUEUE: self.send, DEAD_QUEUE: self.dead}[name]


class Channel:
    """What a process has taken from a queue. Stands where the product has its `Acks`."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker = broker
        self._queue = queue
        self._tags = 0
        self._unacked: dict[int, Entry] = {}
        self._settled: set[int] = set()
        self.is_open = True

    def deliver(self, entry: Entry) -> Delivery:
        self._tags += 1
        self._unacked[self._tags] = entry
        return Delivery(entry.body, entry.headers, entry.redelivered, self._tags, self)  # type: ignore[arg-type]  # stands in

    def settle(self, tag: int) -> None:
        if tag in self._unacked:
            self._settled.add(tag)

    def flush(self) -> None:
        """Ack what is settled."""
        for tag in self._settled:
            del self._unacked[tag]
        self._settled.clear()

    def lose(self) -> None:
        """What was not acked returns to its queue, first in it."""
        self.is_open = False
        back = list(self._unacked.values())
        for entry in back:
            entry.redelivered = True
        self._broker.queue(self._queue)[:0] = back
        self._unacked.clear()
        self._settled.clear()

    def forget(self) -> None:
        """The broker was wiped: nothing returns."""
        self.is_open = False
        self._unacked.clear()
        self._settled.clear()

    @property
    def has_settled(self) -> bool:
        return bool(self._settled)

    @property
    def has_unacked(self) -> bool:
        return bool(self._unacked)


class GatedPublisher:
    """Publishes through the gates of a process."""

    def __init__(self, process: Process, broker: Broker) -> None:
        self.process = process
        self._broker = broker

    async def publish(self, publication: Publication, *, within_s: float) -> None:
        async def perform() -> None:
            self._broker.publish(publication, self.process.clock.now())

        await self.process.gate(f"publish to {publication.routing_key}", perform, kind="broker")

    async def publish_all(self, publications: Iterable[Publication], *, within_s: float) -> None:
        """One after the other: a process may die between any two."""
        for publication in publications:
            await self.publish(publication, within_s=within_s)


class GatedReader:
    """Looks at queues and takes from them through the gates of a process."""

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process = process
        self._broker = broker
        self._channel = Channel(broker, DEAD_QUEUE)

    async def depth(self, queue: str) -> Depth:
        return Depth(len(self._broker.queue(queue)), 1)

    async def take(self, queue: str) -> Delivery | None:
        channel = self._channel

        async def perform() -> Delivery | None:
            entries = self._broker.queue(queue)
            return channel.deliver(entries.pop(0)) if entries and channel.is_open else None

        return await self._process.gate(f"take from {queue}", perform, kind="taking")

    async def ack(self) -> None:
        channel = self._channel

        async def perform() -> None:
            channel.flush()

        await self._process.gate("ack dead letters", perform, kind="taking")

    async def close(self) -> None:
        self.lose()

    def lose(self) -> None:
        self._channel.lose()
        self._channel = Channel(self._broker, DEAD_QUEUE)

    def forget(self) -> None:
        self._channel.forget()
        self._channel = Channel(self._broker, DEAD_QUEUE)
