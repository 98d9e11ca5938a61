"""The product's own sender and scheduler, wired to gates instead of to sockets."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from services.scheduler.backpressure import Backpressure
from services.scheduler.completion import reopen_ended_lately
from services.scheduler.dead_letters import DeadLetterWatch
from services.scheduler.serve import serve_next
from services.scheduler.start import close_due, start_due
from services.scheduler.tools import Limits, Tools
from services.sender.pipeline import Pipeline, Tuning
from shared.broker.topology import SEND_QUEUE
from shared.domain.message import Actor
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.store.store import Store
from tests.integration.protocol.broker import Broker, Channel, Entry, GatedPublisher, GatedReader
from tests.integration.protocol.gated_store import GatedStore
from tests.integration.protocol.process import MovableClock, Process
from tests.integration.protocol.provider import GatedProvider

MAX_ATTEMPTS = 2
CHUNK = 2
DIFFER_S = 10.0
WITHOUT_COMMANDS = frozenset({"message_statuses.release", "message_statuses.replay"})


class Sender(Process):
    """A whole pipeline but for its consumer: deliveries are handed to its intake."""

    def __init__(self, name: str, clock: MovableClock, store: Store, broker: Broker, *, mend_after: timedelta) -> None:
        super().__init__(name, Actor.SENDER, clock)
        self._broker = broker
        self._mend_after = mend_after
        self.store = store
        self.channel = Channel(broker, SEND_QUEUE)
        self.claims: dict[int, str] = {}  # of each message, the token of this sender's last claim

    def begin(self, provider: GatedProvider) -> None:
        gated: Any = GatedStore(self.store, self)
        publisher: Any = GatedPublisher(self, self._broker)
        no_gateway: Any = None
        self.pipeline = Pipeline(
            gated,
            no_gateway,
            publisher,
            provider,
            self.clock,
            Tuning(
                sender=self.name,
                concurrency=2,
                batch_size=2,
                batch_wait_s=0.0,
                mend_after=self._mend_after,
                refusal_statuses=frozenset({429, 500, 503}),
                rate_per_s=None,
            ),
            report_store=lambda _: None,
            report_provider=lambda _: None,
        )
        stages = (self.pipeline._claimer, self.pipeline._deliverer, self.pipeline._recorder)
        self.tasks = [asyncio.create_task(stage.run()) for stage in stages]

    def take(self, entry: Entry) -> None:
        self.pipeline._intake.take_over(self.channel.deliver(entry))

    def lose_channel(self) -> None:
        self.channel.lose()
        self.channel = Channel(self._broker, SEND_QUEUE)

    def forget_channel(self) -> None:
        self.channel.forget()
        self.channel = Channel(self._broker, SEND_QUEUE)

    @property
    def is_idle(self) -> bool:
        return not self.waiting() and not self.channel.has_unacked


class Scheduler(Process):
    """What the scheduler's loops do, each by itself and once when it is told to."""

    def __init__(self, name: str, clock: MovableClock, store: Store, broker: Broker, *, mend_after: timedelta) -> None:
        super().__init__(name, Actor.SCHEDULER, clock)
        self.store = store
        gated: Any = GatedStore(store, self)
        self.reader = GatedReader(self, broker)
        reader: Any = self.reader
        publisher: Any = GatedPublisher(self, broker)
        self.tools = Tools(
            gated,
            publisher,
            Backpressure(reader, clock, least_commands=50),
            clock,
            Limits(chunk_clients=CHUNK, max_attempts=MAX_ATTEMPTS, mend_after=mend_after, tick=timedelta(seconds=1)),
        )
        self._watch = DeadLetterWatch(self.tools, reader, differ_s=DIFFER_S)
        self._acts: dict[str, asyncio.Task[None]] = {}
        self.worked = False
        self.owes_commands = False  # messages are queued, their commands not published yet

    async def after_turn(self) -> None:
        """For mistakes."""

    def begin(self, act: str) -> None:
        """Begin a turn, a look at the dead letters, or one at what ended lately; unless it is under way."""
        if act in self._acts and not self._acts[act].done():
            return
        work = {"turn": self._turn, "letters": self._watch.look, "ended": lambda: reopen_ended_lately(self.tools)}
        self._acts[act] = asyncio.create_task(self._unless_away(work[act]()))

    async def _turn(self) -> None:
        self.worked = False
        try:
            await close_due(self.tools)
            await start_due(self.tools)
            self.worked = await serve_next(self.tools, owner=self.name)
            await self.after_turn()
        finally:
            self.owes_commands = False

    async def _unless_away(self, work: Awaitable[None]) -> None:
        with suppress(StoreUnavailable, BrokerUnavailable):
            await work
