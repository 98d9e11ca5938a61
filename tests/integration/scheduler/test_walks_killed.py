"""A walk over the dead letters that is killed, between any two of its steps: no entry is lost, and the next ones heal.

Every step of a walk is one call of the store or the broker. The walk dies before the first of them, then before the
second, and so on until it ends by itself; of what it publishes at once, in the middle, too.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from services.scheduler import walk
from services.scheduler.tools import LEASE_S
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publication, Publisher
from shared.broker.queues import QueueReader
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.scheduler.watching import DEAD, DIFFER_S, Watching, letter_of
from tests.integration.sender.planting import Entry, Planting
from tests.support.eventually import eventually

BATCH = 3
PARKED = (b"not JSON", b"{}", b"\xff")
MOST_STEPS = 200
KILLS = 8

pytestmark = pytest.mark.timeout(540)


class Died(BaseException):
    """What no code of ours catches."""


class Fate:
    """Counts the steps of a walk, and ends it before one of them."""

    def __init__(self, dies_before: int) -> None:
        self.dies_before = dies_before
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps >= self.dies_before:  # whatever it would do while it dies, it does not do either
            raise Died

    def over(self, whole: Any) -> Any:
        """The same object, each call of which is a step."""
        return Mortal(whole, self)


class Mortal:
    """An object whose calls are steps."""

    def __init__(self, whole: Any, fate: Fate) -> None:
        self._whole = whole
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        call: Callable[..., Any] = getattr(self._whole, name)

        async def step(*given: Any, **named: Any) -> Any:
            self._fate.step()
            return await call(*given, **named)

        return step


class MortalPublisher(Mortal):
    """A publisher that may die when half of a batch is confirmed."""

    async def publish_all(self, publications: Iterable[Publication], *, within_s: float) -> bool:
        every = list(publications)
        for part in (every[: len(every) // 2], every[len(every) // 2 :]):
            self._fate.step()
            await self._whole.publish_all(part, within_s=within_s)
        return False


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "BATCH", BATCH)


@asynccontextmanager
async def mortal_watch(
    world: Planting, hands: Hands, clock: MovableClock, amqp_url: str, fate: Fate
) -> AsyncIterator[Watching]:
    """A watch with a connection of its own, which is gone when it has died."""
    store = hands.tools.store
    parts = ("dead_letter_state", "mailings", "messages", "statistics")
    mortal_store: Any = SimpleNamespace(**{name: fate.over(getattr(store, name)) for name in parts})
    async with Gateway(amqp_url, name="mortal", report=lambda _: None) as gateway:
        publisher: Any = MortalPublisher(Publisher(gateway), fate)
        tools = replace(hands.tools, store=mortal_store, publisher=publisher)
        reader: Any = fate.over(QueueReader(gateway))
        yield Watching(world, replace(hands, tools=tools), clock, reader)


async def peek(world: Planting) -> list[Entry]:
    """What lies among the dead letters, and returns there."""
    reader = QueueReader(world.gateway)
    entries: list[Entry] = []
    while (taken := await reader.take("messages.dead")) is not None:
        entries.append(Entry(taken.body, dict(taken.headers)))
    await reader.close()

    async def back() -> bool:
        return await world.ready("messages.dead") == len(entries)

    await eventually(back, "they are back", within_s=20, every_s=0.01)
    return entries


def told(entries: list[Entry]) -> tuple[Counter[int], Counter[bytes]]:
    """How many entries each message has, and each parked body."""
    parked = Counter(one.body for one in entries if one.headers["x-mailrun-parked"])
    return Counter(one.command.message_id for one in entries if not one.headers["x-mailrun-parked"]), parked


async def plant(world: Planting) -> tuple[list[int], list[int]]:
    """Deserved entries, one of them double; a stale one; parked bodies; and a message whose entry is missing."""
    mailing_id = await world.mailing()
    with_entry = await world.messages(mailing_id, await world.clients(4), **DEAD)
    stale_id = await world.message(mailing_id)
    missing = await world.messages(mailing_id, await world.clients(2), **DEAD)
    for message_id, body in zip(with_entry, (*PARKED, None), strict=True):
        await letter_of(world, message_id)
        if body is not None:
            await world.letter(body, {"x-mailrun-reason": "why", "x-mailrun-parked": True})
    for message_id in (with_entry[0], stale_id):
        await letter_of(world, message_id)
    await world.store.dead_letter_state.doubt(world_now(), why="planted")
    return with_entry, missing


def world_now() -> Any:
    return MovableClock().now()


async def test_a_walk_that_dies_before_any_of_its_steps_loses_no_entry(
    world: Planting, hands: Hands, clock: MovableClock, module_amqp_url: str
) -> None:
    healing = Watching(world, hands, clock)
    for dies_before in range(1, MOST_STEPS):
        await forget_everything(world)
        with_entry, missing = await plant(world)
        fate = Fate(dies_before)
        died = False

        # When it dies before this step
        try:
            async with mortal_watch(world, hands, clock, module_amqp_url, fate) as mortal:
                clock.pass_s(LEASE_S)
                await mortal.look_for_long()
        except Died:
            died = True

        # Then every entry that there was and that is deserved is there, and so is every parked body
        async def nothing_lost() -> bool:
            letters, parked = told(await peek(world))
            return letters.keys() >= set(with_entry) and parked.keys() == set(PARKED)  # noqa: B023

        await eventually(nothing_lost, f"nothing is lost by dying before step {dies_before}", within_s=30)

        # And the walks to come make it true; of parked bodies there are no more doubles than the crash has left
        clock.pass_s(LEASE_S + DIFFER_S)
        for _ in range(2):
            await healing.look_for_long()
            clock.pass_s(LEASE_S)
        letters, parked = told(await peek(world))
        assert letters == Counter(dict.fromkeys((*with_entry, *missing), 1)), dies_before
        assert parked.keys() == set(PARKED)
        assert parked.total() <= len(PARKED) + BATCH, (dies_before, parked)
        state = await world.documents["state"].find_one({"_id": "dead_letters"})
        assert (state["parked"], state["doubts"]) == (parked.total(), state["doubts_cleared"]), dies_before
        if not died:
            assert parked.total() == len(PARKED)
            assert dies_before > 30  # so many steps there are at least
            return
    raise AssertionError(f"the walk has not ended after {MOST_STEPS} steps")


async def forget_everything(world: Planting) -> None:
    await world.take_all("messages.dead")
    for collection in ("clients", "mailings", "messages", "state"):
        await world.documents[collection].delete_many({})


async def test_walkers_that_are_killed_at_any_moment_lose_no_entry(
    world: Planting, hands: Hands, clock: MovableClock, module_amqp_url: str, mongo_url: str, module_database: str
) -> None:
    """Processes, and kill -9."""
    # Given a few hundred dead letters, some of them double, some missing, and parked bodies in between
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(400), **DEAD)
    for at, message_id in enumerate(message_ids[:350]):
        await letter_of(world, message_id)
        if at % 35 == 0:
            await letter_of(world, message_id)
            await world.letter(f"noise {at}".encode(), {"x-mailrun-reason": "why", "x-mailrun-parked": True})
    noise = {f"noise {at}".encode() for at in range(0, 350, 35)}

    # When walkers are killed, each a little later than the one before
    for at in range(KILLS):
        walker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.scheduler.walker"),
            *(module_amqp_url, mongo_url, module_database),
            stdout=asyncio.subprocess.PIPE,
        )
        assert walker.stdout is not None
        async with asyncio.timeout(60):
            assert (await walker.stdout.readline()).strip() == b"walking"
        await asyncio.sleep(0.05 + 0.1 * at)
        walker.kill()
        await walker.wait()

        async def nothing_lost() -> bool:
            letters, parked = told(await peek(world))
            return letters.keys() >= set(message_ids[:350]) and parked.keys() == noise

        await eventually(nothing_lost, f"kill {at + 1} has lost nothing", within_s=60)
        await world.documents["state"].update_one({"_id": "dead_letters"}, {"$set": {"lease": None}})

    # Then, when one is let walk, all is true
    watching = Watching(world, hands, clock)
    await world.store.dead_letter_state.doubt(world_now(), why="planted")
    clock.pass_s(LEASE_S)
    for _ in range(2):
        await watching.look_for_long()
        clock.pass_s(600)
    letters, parked = told(await peek(world))
    assert letters == Counter(dict.fromkeys(message_ids, 1))
    assert parked.keys() == noise
    assert parked.total() <= len(noise) + KILLS * BATCH
