"""A model of messages in plain Python, kept beside the store by a state machine."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from shared.domain.message import SENDING, STEPS, Actor, MessageStatus, Outcome
from shared.store.store import Store

T = TypeVar("T")

ATTEMPTS = 2


@dataclass
class Modelled:
    """What is to be in the store of one message."""

    client_id: int
    status: MessageStatus
    attempt: int = 0
    last_attempt: int = ATTEMPTS
    ambiguous: bool = False
    token: str | None = None
    history: list[Outcome] = field(default_factory=list)
    updated_at: float = 0


class ModelledLife(RuleBasedStateMachine):
    """Messages in the store and in the model, and the means to change both."""

    mongo_url = ""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._name = f"test_{secrets.token_hex(6)}"
        self._store = self._run(self._connect())
        self._model: dict[int, Modelled] = {}
        self._next_id = 1
        self._now = 1.0
        self._again: Callable[[], Awaitable[object]] | None = None

    async def _connect(self) -> Store:
        store = Store(self.mongo_url, self._name)
        await store.prepare(lambda _: None)
        return store

    def _run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self._runner.run(awaited())

    def _change(self, change: Callable[[], Awaitable[T]]) -> T:
        """Make a change at a moment of its own, and remember how to repeat it."""
        self._again = change
        return self._run(change())

    def _tick(self) -> float:
        self._now += 1
        return self._now

    def _step(self, message: Modelled, status: MessageStatus, actor: Actor) -> None:
        assert actor in STEPS[message.status].get(status, frozenset()), f"{message.status} -> {status} by {actor}"
        message.status, message.updated_at = status, self._now

    def _under(self, token: str, ids: Collection[int]) -> list[Modelled]:
        return [
            message
            for number, message in self._model.items()
            if number in ids and message.status is SENDING and message.token == token
        ]

    def teardown(self) -> None:
        for number, message in self._model.items():
            read = self._run(self._store.messages.get(number))
            assert [one.outcome for one in read.attempts] == message.history
        self._run(self._store._client.drop_database(self._name))
        self._store.close()
        self._runner.close()
