"""Acks against a model of the broker's side of one channel: whatever comes in whatever order, no tag is acked that is
not settled, and none twice. The first would lose a message, the second costs the channel."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.broker import acks as acks_module
from shared.broker.acks import Acks

NEVER_STUCK_S = 1e9
AT_ONCE_STUCK_S = -1.0


@dataclass
class Channel:
    """The broker's side: which deliveries it waits for, and what it is told of them. A frame waits while `held`."""

    outstanding: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    frames: int = 0
    is_closed: bool = False
    passes: asyncio.Event = field(default_factory=asyncio.Event)

    async def basic_ack(self, tag: int, *, multiple: bool = False, wait: bool = True) -> None:
        await self.passes.wait()
        assert tag in self.outstanding, f"{tag} is acked twice"
        acked = {one for one in self.outstanding if one <= tag} if multiple else {tag}
        assert acked <= self.settled, f"{acked - self.settled} are acked and not settled"
        self.outstanding -= acked
        self.frames += 1


@dataclass
class Run:
    """One channel in use: a delivery's work ends at any time, flushes overlap, wait and are given up."""

    channel: Channel
    acks: Acks
    flushes: list["asyncio.Task[None]"] = field(default_factory=list)
    last_tag: int = 0

    def deliver(self, _: int) -> None:
        self.last_tag += 1
        self.channel.outstanding.add(self.last_tag)
        self.acks.delivered(self.last_tag)

    def settle(self, choice: int) -> None:
        if unsettled := sorted(self.channel.outstanding - self.channel.settled):
            tag = unsettled[choice % len(unsettled)]
            self.channel.settled.add(tag)
            self.acks.settle(tag)

    def settle_again(self, choice: int) -> None:
        if self.channel.settled:
            self.acks.settle(sorted(self.channel.settled)[choice % len(self.channel.settled)])

    def flush(self, _: int) -> None:
        self.flushes.append(asyncio.ensure_future(self.acks.flush()))

    def give_up_flush(self, choice: int) -> None:
        if self.flushes:
            self.flushes[choice % len(self.flushes)].cancel()

    def flush_last(self, _: int) -> None:
        self.flushes.append(asyncio.ensure_future(self.acks.flush(last=True)))

    def hold(self, _: int) -> None:
        self.channel.passes.clear()

    def let_pass(self, _: int) -> None:
        self.channel.passes.set()

    async def end(self) -> None:
        """All work ends; the flushes that nobody gave up succeed, and a last one acks the rest."""
        self.channel.passes.set()
        for result in await asyncio.gather(*self.flushes, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result
        while self.channel.outstanding - self.channel.settled:
            self.settle(0)
        await self.acks.flush()
        assert self.channel.outstanding == set()


STEPS: list[Callable[[Run, int], None]] = [
    *(Run.deliver, Run.deliver, Run.settle, Run.settle, Run.settle_again),
    *(Run.flush, Run.flush_last, Run.give_up_flush, Run.hold, Run.let_pass),
]


@pytest.mark.parametrize("stuck_s", [NEVER_STUCK_S, AT_ONCE_STUCK_S])
@settings(deadline=None, max_examples=200)
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.booleans()), max_size=60))
def test_only_what_is_settled_is_acked_and_only_once(
    stuck_s: float, steps: list[tuple[Callable[[Run, int], None], int, bool]]
) -> None:
    async def scenario() -> None:
        channel = Channel()
        channel.passes.set()
        run = Run(channel, Acks(channel))  # type: ignore[arg-type]  # as much of a channel as acks need
        for step, choice, others_run in steps:
            step(run, choice)
            if others_run:
                await asyncio.sleep(0)
        await run.end()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acks_module, "STUCK_S", stuck_s)
        asyncio.run(scenario())


async def test_a_contiguous_prefix_takes_one_frame_and_what_is_stuck_behind_it_one_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given ten deliveries, all settled but the fifth and the last
    channel = Channel()
    channel.passes.set()
    acks = Acks(channel)  # type: ignore[arg-type]  # as much of a channel as acks need
    for tag in range(1, 11):
        channel.outstanding.add(tag)
        acks.delivered(tag)
    for tag in (1, 2, 3, 4, 6, 7, 8, 9):
        channel.settled.add(tag)
        acks.settle(tag)

    # When they are flushed, then those before the fifth are acked together, and the others wait for it
    await acks.flush()
    assert channel.outstanding == {5, 6, 7, 8, 9, 10}
    assert channel.frames == 1

    # When they have waited long, then each is acked by itself
    monkeypatch.setattr(acks_module, "STUCK_S", AT_ONCE_STUCK_S)
    await acks.flush()
    assert channel.outstanding == {5, 10}
    assert channel.frames == 1 + 4


async def test_the_last_flush_acks_whatever_is_settled() -> None:
    channel = Channel({1, 2, 3}, {2, 3})
    channel.passes.set()
    acks = Acks(channel)  # type: ignore[arg-type]  # as much of a channel as acks need
    for tag in (1, 2, 3):
        acks.delivered(tag)
    acks.settle(2)
    acks.settle(3)
    await acks.flush()
    assert channel.outstanding == {1, 2, 3}
    await acks.flush(last=True)
    assert channel.outstanding == {1}


async def test_a_channel_that_takes_no_frame_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a channel whose connection is dead, and does not know it yet
    monkeypatch.setattr(acks_module, "FLUSH_TIMEOUT_S", 0.05)
    channel = Channel({1}, {1})
    acks = Acks(channel)  # type: ignore[arg-type]  # as much of a channel as acks need
    acks.delivered(1)
    acks.settle(1)

    # When its deliveries are acked, then that ends, and they are known to come again
    assert acks.is_open
    async with asyncio.timeout(5):
        await acks.flush()
    assert not acks.is_open
    channel.passes.set()
    await acks.flush()
    assert channel.frames == 0
