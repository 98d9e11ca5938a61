"""Backpressure against a simulated queue: two seconds of work in it, whatever the rate, and nobody starved."""

from dataclasses import dataclass

import pytest

from services.scheduler.backpressure import LOOK_EVERY_S, MAX_COMMANDS, WORK_S, Backpressure
from shared.broker.queues import Depth
from tests.unit.sender.parts import StillClock

CHUNK = 500
STEP_S = 0.05


@dataclass
class Queue:
    """A send queue that senders drain at a rate; they take `prefetch` commands at once, before they work."""

    drains_per_s: float
    prefetch: int = 0
    ready: float = 0.0
    held: float = 0.0
    deepest: float = 0.0
    handled: float = 0.0
    looks: int = 0

    async def depth(self, queue: str) -> Depth:
        self.looks += 1
        return Depth(ready=int(self.ready), consumers=1)

    def publish(self, commands: int) -> None:
        self.ready += commands
        self.deepest = max(self.deepest, self.ready)

    def pass_s(self, seconds: float) -> None:
        done = min(self.drains_per_s * seconds, self.held + self.ready)
        self.handled += done
        self.held -= done
        if self.held < 0:
            self.ready += self.held
            self.held = 0.0
        taken = min(self.ready, self.prefetch - self.held) if self.prefetch > self.held else 0.0
        self.ready -= taken
        self.held += taken


class Simulation:
    """A scheduler that always has clients to plan, one chunk at a time, as long as there is room."""

    def __init__(self, queue: Queue, *, least: int = CHUNK) -> None:
        self.queue = queue
        self.clock = StillClock()
        self.backpressure = Backpressure(queue, self.clock, least_commands=least)

    async def run_s(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            room = min(CHUNK, await self.backpressure.room())
            if room:
                self.queue.publish(room)
                self.backpressure.published(room)
            self.queue.pass_s(STEP_S)
            self.clock.pass_s(STEP_S)


@pytest.mark.parametrize("prefetch", [0, 564, 3 * 564])
@pytest.mark.parametrize("drains_per_s", [0, 1, 20, 200, 1_000, 3_000])
async def test_once_settled_the_queue_holds_two_seconds_of_work_and_a_chunk_at_most(
    drains_per_s: float, prefetch: int
) -> None:
    queue = Queue(drains_per_s, prefetch)
    simulation = Simulation(queue)
    await simulation.run_s(20)
    queue.deepest = 0.0

    await simulation.run_s(30)

    assert queue.deepest <= max(CHUNK, WORK_S * drains_per_s) + CHUNK


@pytest.mark.parametrize("drains_per_s", [20, 200, 1_000, 3_000, 8_000])
async def test_senders_are_not_starved_once_settled(drains_per_s: float) -> None:
    # A simulated scheduler publishes at most 500 in 50 ms: 10,000/s.
    queue = Queue(drains_per_s, prefetch=564)
    simulation = Simulation(queue)
    await simulation.run_s(10)
    before = queue.handled

    await simulation.run_s(20)

    assert queue.handled - before >= 0.9 * 20 * drains_per_s


async def test_a_provider_that_becomes_slow_leaves_no_more_than_the_old_mark_behind() -> None:
    queue = Queue(4_000, prefetch=564)
    simulation = Simulation(queue)
    await simulation.run_s(20)

    queue.drains_per_s = 10
    queue.deepest = 0.0
    await simulation.run_s(60)
    published_before = queue.ready + queue.held + queue.handled
    await simulation.run_s(10)

    assert queue.deepest <= WORK_S * 4_000 + CHUNK
    assert queue.ready + queue.held + queue.handled - published_before <= CHUNK  # it has stopped to publish


async def test_a_provider_that_becomes_fast_again_is_served_within_seconds() -> None:
    queue = Queue(10, prefetch=564)
    simulation = Simulation(queue)
    await simulation.run_s(20)

    queue.drains_per_s = 4_000
    await simulation.run_s(5)
    before = queue.handled
    await simulation.run_s(5)

    assert queue.handled - before >= 0.9 * 5 * 4_000


async def test_the_mark_is_bounded_however_fast_the_senders_are() -> None:
    queue = Queue(1_000_000)
    simulation = Simulation(queue)
    await simulation.run_s(10)

    assert await simulation.backpressure.room() <= MAX_COMMANDS


async def test_the_depth_is_looked_at_ten_times_a_second_at_most() -> None:
    queue = Queue(1_000)
    simulation = Simulation(queue)

    for _ in range(1_000):
        await simulation.backpressure.room()
        simulation.clock.pass_s(0.001)

    assert queue.looks <= 1 / LOOK_EVERY_S + 1


async def test_what_was_published_since_the_last_look_takes_room() -> None:
    simulation = Simulation(Queue(0))
    assert await simulation.backpressure.room() == CHUNK

    simulation.backpressure.published(400)
    assert await simulation.backpressure.room() == 100

    simulation.backpressure.published(400)
    assert await simulation.backpressure.room() == 0
