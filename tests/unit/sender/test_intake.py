"""Intake and hand: who holds a delivery, from its arrival until it is settled."""

import asyncio

from services.sender.follow import Follower
from services.sender.hand import Hand
from services.sender.intake import Intake
from services.sender.task import Task
from shared.broker.publisher import Publication
from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import PARKED_HEADER, REASON_HEADER
from tests.unit.sender.parts import Channel, DoubtsNoted, command


class Published:
    """A publisher that confirms at once, or when it is let."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.publications: list[Publication] = []
        self.confirm = asyncio.Event()
        if confirms:
            self.confirm.set()

    async def publish(self, publication: Publication, *, within_s: float) -> None:
        await self.confirm.wait()
        self.publications.append(publication)


class Taken:
    """An intake with its hand, and a channel that delivers to it."""

    def __init__(self, *, confirms: bool = True) -> None:
        self.published = Published(confirms=confirms)
        self.hand = Hand()
        self.doubts = DoubtsNoted()
        self.follower = Follower(self.published, self.hand, doubt=self.doubts.raise_one)
        self.intake = Intake(self.hand, self.follower)
        self.channel = Channel()

    def deliver(self, *message_ids: int, channel: Channel | None = None, redelivered: bool = False) -> None:
        for message_id in message_ids:
            body = command(message_id).to_body()
            self.intake.take_over((channel or self.channel).deliver(body, redelivered=redelivered))

    async def gather(self, count: int = 100) -> list[int]:
        return [task.message_id for task in await self.gather_tasks(count)]

    async def gather_tasks(self, count: int = 100) -> list[Task]:
        async with asyncio.timeout(5):
            return await self.intake.gather(count, wait_s=0.01)


async def test_tasks_come_in_their_order_and_no_more_than_asked_for() -> None:
    taken = Taken()
    taken.deliver(3, 1, 2)

    assert await taken.gather(2) == [3, 1]
    assert await taken.gather(2) == [2]


async def test_gathering_waits_for_the_first_and_not_for_the_last() -> None:
    taken = Taken()
    gathering = asyncio.create_task(taken.gather())
    await asyncio.sleep(0)

    taken.deliver(1)

    assert await gathering == [1]


async def test_gathering_takes_what_comes_in_the_meantime() -> None:
    taken = Taken()
    taken.deliver(1)
    gathering = asyncio.create_task(taken.intake.gather(3, wait_s=60))
    for message_id in (2, 3):
        await asyncio.sleep(0)
        taken.deliver(message_id)

    async with asyncio.timeout(5):
        assert len(await gathering) == 3


async def test_a_gathering_that_is_cancelled_takes_nothing() -> None:
    taken = Taken()
    taken.deliver(1)
    gathering = asyncio.create_task(taken.intake.gather(2, wait_s=60))
    await asyncio.sleep(0)
    gathering.cancel()
    await asyncio.wait([gathering])

    assert await taken.gather() == [1]


async def test_a_redelivered_command_recovers_and_a_new_one_does_not() -> None:
    taken = Taken()
    taken.deliver(1)
    taken.deliver(2, redelivered=True)
    taken.intake.take_over(taken.channel.deliver(command(3, recover=True).to_body()))

    assert [task.recover for task in await taken.gather_tasks()] == [False, True, True]


async def test_a_task_whose_channel_is_gone_is_dropped_and_not_acked() -> None:
    taken = Taken()
    taken.deliver(1, 2)
    taken.channel.is_closed = True

    assert await taken.gather() == []
    assert len(taken.hand) == 0


async def test_what_a_lost_channel_brought_does_not_pile_up_behind_the_next_one() -> None:
    # Given a claimer that stands still (the store is away) while the channel is lost again and again
    taken = Taken()
    for _ in range(50):
        channel = Channel()
        taken.deliver(*range(1, 101), channel=channel)
        channel.is_closed = True
    taken.deliver(7, channel=Channel())

    assert len(taken.hand) == 1
    assert await taken.gather() == [7]


async def test_a_body_that_is_no_command_is_parked_with_its_reason_and_then_settled() -> None:
    taken = Taken()
    taken.intake.take_over(taken.channel.deliver(b"not a command \xff"))
    await taken.follower.until_idle()

    [parked] = taken.published.publications
    assert parked.body == b"not a command \xff"
    assert parked.headers[PARKED_HEADER] is True
    assert parked.headers[REASON_HEADER]
    assert taken.doubts.why == ["body_parked"]  # the number of parked bodies is another one now
    await taken.channel.acks.flush()
    assert taken.channel.acked == [(1, True)]
    assert len(taken.hand) == 0


async def test_a_body_whose_parking_is_not_confirmed_is_not_acked() -> None:
    taken = Taken(confirms=False)
    taken.intake.take_over(taken.channel.deliver(b"{}"))
    await asyncio.sleep(0)

    await taken.follower.stop()
    await taken.channel.acks.flush()

    assert taken.channel.acked == []


async def test_a_closed_intake_lets_go_of_all_it_has_and_of_all_that_comes() -> None:
    taken = Taken()
    taken.deliver(1, 2)
    [first, second] = await taken.gather_tasks()
    taken.deliver(3)

    taken.intake.close()
    taken.deliver(4)  # delivered before the broker heard that nobody consumes any more
    taken.intake.again(first)  # judged only now: it could be claimed after all
    taken.hand.settle(second)

    async with asyncio.timeout(5):
        await taken.hand.until_empty()
    await taken.channel.acks.flush()
    assert taken.channel.acked == []  # the second stands behind the first, which comes again


async def test_the_hand_is_empty_when_the_last_task_is_settled() -> None:
    taken = Taken()
    taken.deliver(1, 2)
    [first, second] = await taken.gather_tasks()
    waiting = asyncio.create_task(taken.hand.until_empty())

    taken.hand.settle(first)
    await asyncio.sleep(0)
    assert not waiting.done()
    taken.hand.settle(second)

    async with asyncio.timeout(5):
        await waiting


async def test_what_is_settled_when_the_hand_closes_is_acked_before_the_acking_ends() -> None:
    taken = Taken()

    class Flushed:
        async def flush_acks(self) -> None:
            await taken.channel.acks.flush()

    taken.deliver(1, 2)
    acking = asyncio.create_task(taken.hand.ack_settled(Flushed()))
    for task in await taken.gather_tasks():
        taken.hand.settle(task)
    taken.hand.close()

    async with asyncio.timeout(5):
        await acking
    assert taken.channel.acked == [(2, True)]


async def test_what_is_handed_over_is_published_for_another_sender_and_settled() -> None:
    taken = Taken()
    taken.deliver(1, 2, 3, 4)

    taken.intake.hand_over(keep=1)
    await taken.follower.until_idle()

    assert [one.routing_key for one in taken.published.publications] == [SendCommand.ROUTING_KEY] * 3
    bodies = [SendCommand.from_body(one.body) for one in taken.published.publications]
    assert [(one.message_id, one.attempt, one.recover) for one in bodies] == [(2, 1, True), (3, 1, True), (4, 1, True)]
    assert len(taken.hand) == 1
    assert await taken.gather() == [1]


async def test_what_came_by_a_channel_that_is_gone_is_not_handed_over_since_it_comes_again() -> None:
    taken = Taken()
    taken.deliver(1, 2)
    taken.channel.is_closed = True

    taken.intake.hand_over(keep=0)
    await taken.follower.until_idle()

    assert taken.published.publications == []
    assert len(taken.hand) == 0
