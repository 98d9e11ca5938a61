"""A world of two senders, two schedulers, an API, a broker in memory and the real store, moved act by act."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from shared.domain.mailing import SCHEDULED, Mailing
from shared.domain.message import Actor, OnUnknown
from shared.errors import BrokerUnavailable, MailrunError, StoreUnavailable
from shared.store.store import Store
from tests.integration.protocol.broker import Broker
from tests.integration.protocol.process import Gate, MovableClock, Process
from tests.integration.protocol.promises import Promises
from tests.integration.protocol.provider import GatedProvider, Ledger, LedgerEntry, Reply
from tests.integration.protocol.services import WITHOUT_COMMANDS, Scheduler, Sender
from tests.integration.store.making import T0, client_document, mailing_document, make_client, make_mailing

A_MINUTE = timedelta(seconds=60)
NEVER = timedelta(days=300)
ACT_S = 0.001  # no two acts at the same moment
COLLECTIONS = ("mailings", "messages", "clients", "sequences", "state", "provider_state")
WRITING = ("message_statuses.", "mailing_work.")  # the collections whose changes are looked at
REFUSALS = {"store": StoreUnavailable, "broker": BrokerUnavailable}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a world is like.

    Attributes:
        mending: whether the scheduler brings back what was lost; without, nothing may be lost in the first place.
        hold: whether unknown outcomes are held, not sent again.
        ends_after: the mailings' end, seconds after their start.
    """

    mending: bool = True
    hold: bool = False
    clients: int = 2
    mailings: int = 1
    ends_after: float = 864_000.0


class World:
    """All of it, and what may happen to it."""

    def __init__(
        self, store: Store, past: Database[dict[str, Any]], conditions: Conditions, plant: Callable[[Process], None]
    ) -> None:
        """
        Args:
            past: the store's database itself, to look at without a gate.
            plant: puts a mistake into each process.
        """
        self.conditions = conditions
        self.clock = MovableClock()
        self.broker = Broker()
        self.ledger = Ledger()
        self.promises = Promises(self.ledger, conditions.hold)
        self.story: list[str] = []
        self.ghosts: list[tuple[Process, Gate]] = []
        self.gone: set[int] = set()
        self.wiped = False
        self.store = store
        self._past = past
        self._plant = plant
        self._mend_after = A_MINUTE if conditions.mending else NEVER
        self._born = 0
        self._dead: list[Process] = []  # kept, since what they wait for is ended with the world
        self.api = Process("api", Actor.API, self.clock)
        self.senders: list[Sender] = []
        self.schedulers: list[Scheduler] = []

    @property
    def processes(self) -> list[Process]:
        return [*self.senders, *self.schedulers]

    async def begin(self) -> None:
        """An empty store with clients and mailings about to start."""
        for name in COLLECTIONS:
            self._past[name].delete_many({})
        self._past["clients"].insert_many(client_document(make_client(client_id)) for client_id in self.clients)
        self._past["mailings"].insert_many(
            mailing_document(self._mailing(one)) for one in range(1, self.conditions.mailings + 1)
        )
        self.senders = [await self._new_sender() for _ in range(2)]
        self.schedulers = [self._new_scheduler() for _ in range(2)]
        self.observe(self.api)

    @property
    def clients(self) -> range:
        return range(1, self.conditions.clients + 1)

    def _mailing(self, mailing_id: int) -> Mailing:
        return make_mailing(
            id=mailing_id,
            status=SCHEDULED,
            start_at=T0,
            end_at=T0 + timedelta(seconds=self.conditions.ends_after),
            on_unknown=OnUnknown.HOLD if self.conditions.hold else OnUnknown.RESEND,
        )

    # --- processes ---

    async def _new_sender(self) -> Sender:
        self._born += 1
        sender = Sender(f"sender {self._born}", self.clock, self.store, self.broker, mend_after=self._mend_after)
        sender.begin(GatedProvider(sender, self.ledger, sender.claims.__getitem__, self._on_call))
        self._plant(sender)
        await self.settle()
        return sender

    def _new_scheduler(self) -> Scheduler:
        self._born += 1
        scheduler = Scheduler(
            f"scheduler {self._born}", self.clock, self.store, self.broker, mend_after=self._mend_after
        )
        self._plant(scheduler)
        return scheduler

    def _on_call(self, call: LedgerEntry) -> None:
        self.tell(f"  the provider {'accepts' if call.accepted else 'does not accept'} {call.message_id}")
        self.promises.on_call(call)
        self.promises.look()

    async def crash(self, process: Process, *, leave_ghosts: bool = False) -> None:
        """Kill a process; another takes its place. What it had sent to the store may still be carried out later."""
        self.tell(f"{process.name} dies")
        left = process.die()
        self._dead.append(process)
        if leave_ghosts:
            self.ghosts += [(process, gate) for gate in left if gate.kind == "store"]
        if isinstance(process, Sender):
            process.channel.lose()
            self.senders[self.senders.index(process)] = await self._new_sender()
        elif isinstance(process, Scheduler):
            process.reader.lose()
            self.schedulers[self.schedulers.index(process)] = self._new_scheduler()

    async def haunt(self) -> None:
        """The store carries out what a dead process had sent."""
        process, gate = self.ghosts.pop(0)
        self.tell(f"a ghost of {process.name}: {gate.name}")
        with suppress(MailrunError):
            await gate.perform()
        self.observe(process)

    def lose_channel(self, sender: Sender) -> None:
        self.tell(f"{sender.name} loses its channel")
        sender.lose_channel()

    def wipe(self) -> None:
        self.tell("the broker loses everything")
        self.wiped = True
        self.broker.wipe()
        for sender in self.senders:
            sender.forget_channel()
        for scheduler in self.schedulers:
            scheduler.reader.forget()

    # --- acts ---

    async def open(self, process: Process, at: int = 0, *, reply: Reply = Reply.ACCEPTED) -> bool:
        """Have a process do what it is about to do; False when it waits for nothing."""
        gates = process.waiting()
        if not gates:
            return False
        self.ledger.next_reply = reply
        await self._perform(process, gates[min(at, len(gates) - 1)])
        await self.settle()
        return True

    async def fail(self, process: Process, at: int = 0, *, done: bool) -> None:
        """The store or the broker does not answer; `done`: although it has done what was asked."""
        gates = [gate for gate in process.waiting() if gate.kind in REFUSALS]
        if not gates:
            return
        gate = gates[min(at, len(gates) - 1)]
        self.tell(f"{process.name}: {gate.name}, {'but the answer is lost' if done else 'but nobody is there'}")
        process.gates.remove(gate)
        if done:
            await self._do(process, gate)
        gate.answered.set_exception(REFUSALS[gate.kind]("the test says so"))
        await self.settle()

    async def _perform(self, process: Process, gate: Gate) -> None:
        if not gate.at_once:
            self.tell(f"{process.name}: {gate.name}")
        process.gates.remove(gate)
        try:
            answer = await self._do(process, gate)
        except MailrunError as error:
            gate.answered.set_exception(error)
        else:
            gate.answered.set_result(answer)

    async def _do(self, process: Process, gate: Gate) -> Any:
        self.clock.pass_s(ACT_S)
        self.promises.turn += 1
        if isinstance(process, Scheduler) and gate.name in WITHOUT_COMMANDS:
            process.owes_commands = True
        answer = await gate.perform()
        if gate.name == "message_statuses.claim" and isinstance(process, Sender):
            self.observe(process)
            for won in answer:
                token = self.promises.messages[won.id]["claim"]["token"]
                process.claims[won.id] = token
                self.promises.claimed.setdefault(token, self.promises.turn)
        elif gate.name.startswith(WRITING):
            self.observe(process)
        return answer

    async def settle(self) -> None:
        """Let everybody go on until each waits at a gate again, or for work."""
        loop: Any = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            while loop._ready:  # what can go on now; nothing waits for a socket or a moment in here
                await asyncio.sleep(0)
            waiting = ((one, gate) for one in self.processes for gate in one.waiting() if gate.at_once)
            process, gate = next(waiting, (None, None))
            if process is None or gate is None:
                return
            await self._perform(process, gate)

    def observe(self, process: Process) -> None:
        """Hold what is in the store now against the promises; `process` has just written there."""
        messages = list(self._past["messages"].find())
        mailings = list(self._past["mailings"].find())
        self.promises.on_write(process, messages, mailings, self.clock.now())
        self.promises.look()

    # --- the broker and time ---

    def deliver(self, sender: Sender, at: int = 0) -> None:
        if self.broker.send:
            entry = self.broker.send.pop(min(at, len(self.broker.send) - 1))
            self.tell(f"{sender.name} is given {entry}")
            sender.take(entry)

    def ack(self, sender: Sender) -> None:
        self.tell(f"{sender.name} acks")
        sender.channel.flush()

    def pass_s(self, seconds: float) -> None:
        self.tell(f"{seconds} s pass")
        self.clock.pass_s(seconds)
        self.broker.ripen(self.clock.now())

    def answered(self, kind: str, number: int, *, stopped: bool) -> None:
        """The API has answered that a mailing or a client is stopped from now on, or goes on."""
        self.promises.turn += 1
        if stopped:
            self.promises.stopped.setdefault((kind, number), self.promises.turn)
        else:
            self.promises.stopped.pop((kind, number), None)

    def tell(self, what: str) -> None:
        self.story.append(what)
