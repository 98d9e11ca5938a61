"""A process whose every act towards store, broker and provider waits at a gate, until somebody opens it.

So whoever holds the gates decides the interleaving, act by act; and a process dies between any two acts by never
having a gate opened again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.domain.message import Actor
from tests.integration.store.making import T0

Act = Callable[[], Awaitable[Any]]


class MovableClock:
    """A clock that is moved by hand; both of its hands move together."""

    def __init__(self) -> None:
        self._now = T0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return (self._now - T0).total_seconds()

    def pass_s(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@dataclass(eq=False, slots=True)
class Gate:
    """An act that a process is about to do.

    Attributes:
        name: of the act, for the story.
        perform: does it; its result is the answer.
        kind: "store", "broker" or "provider", which decides what may go wrong with it; or "taking".
        at_once: whether it may be opened without being asked for: nothing depends on its moment.
        answered: takes the answer.
    """

    name: str
    perform: Act
    kind: str
    at_once: bool
    answered: "asyncio.Future[Any]"


@dataclass(eq=False)
class Process:
    """One sender, scheduler or API.

    Attributes:
        overrides: acts that a planted mistake does in another way, by their names: called with the real act first.
    """

    name: str
    actor: Actor
    clock: MovableClock
    overrides: dict[str, Callable[..., Awaitable[Any]]] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    alive: bool = True

    async def gate(self, name: str, perform: Act, *, kind: str, at_once: bool = False) -> Any:
        """Wait until the act has been done; the answer. For ever, if the process is dead by then."""
        answered = asyncio.get_running_loop().create_future()
        if self.alive:
            self.gates.append(Gate(name, perform, kind, at_once, answered))
        return await answered

    def waiting(self) -> list[Gate]:
        """The gates at which somebody still waits."""
        self.gates = [gate for gate in self.gates if not gate.answered.done()]
        return self.gates

    def die(self) -> list[Gate]:
        """Do nothing more; the acts that were about to be done."""
        left, self.gates, self.alive = self.waiting(), [], False
        return left
