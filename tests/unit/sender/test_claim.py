"""Claim: one attempt, one claim, at most one call; and nobody waits for what cannot be claimed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.sender.claim import Claimer
from services.sender.containment import ALL_FAILED_WAIT_S
from services.sender.follow import Follower
from services.sender.hand import Hand
from services.sender.intake import Intake
from services.sender.task import ClaimedTask, Task
from shared.errors import StoreUnavailable
from shared.store.message_documents import ClaimedMessage
from tests.unit.sender.parts import NOW, Channel, DoubtsNoted, StillClock, command, message, task


@dataclass
class Statuses:
    """A store in which some messages can be claimed; asked with a message it cannot read, it raises."""

    claimable: set[int]
    unreadable: set[int] = field(default_factory=set)
    lost_answers: int = 0
    tokens: list[str] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    held: dict[int, str] = field(default_factory=dict)
    due_at: datetime | None = None

    async def claim(
        self, attempts: Mapping[int, int], *, token: str, sender: str, at: datetime, due_at: datetime
    ) -> list[ClaimedMessage]:
        self.tokens.append(token)
        self.batches.append(list(attempts))
        self.due_at = due_at
        for message_id in self.claimable.intersection(attempts):
            self.held[message_id] = token
            self.claimable.discard(message_id)
        if self.lost_answers:
            self.lost_answers -= 1
            raise StoreUnavailable("the answer was lost")
        if self.unreadable.intersection(attempts):
            raise KeyError("phone")
        return [message(one) for one in attempts if self.held.get(one) == token]


class Capacity:
    """Whoever delivers: `places` free ones."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.freed = asyncio.Event()

    def free(self) -> int:
        return self.places

    async def until_free(self) -> None:
        while not self.places:
            self.freed.clear()
            await self.freed.wait()


class Claiming:
    """A claimer between an intake and what comes after it."""

    def __init__(self, statuses: Statuses, *, places: int = 100, batch_size: int = 100) -> None:
        self.channel = Channel()
        self.hand = Hand()
        self.intake = Intake(self.hand, Follower(None, self.hand, doubt=DoubtsNoted().raise_one))
        self.capacity = Capacity(places)
        self.checked: list[ClaimedTask] = []
        self.judged: list[Task] = []
        self.let_go: list[Task] = []
        self.happened = asyncio.Event()
        self.claimer = Claimer(
            self.intake,
            statuses,
            self.capacity,
            sender="a sender",
            clock=StillClock(),
            batch_size=batch_size,
            batch_wait_s=0.005,
            mend_after=timedelta(seconds=60),
            report_store=lambda _: None,
            check=self._check,
            judge=self._judge,
            let_go=self.let_go.append,
        )

    async def _check(self, batch: list[ClaimedTask]) -> None:
        self.checked += batch
        self.happened.set()

    async def _judge(self, tasks: list[Task]) -> None:
        self.judged += tasks
        self.happened.set()

    def deliver(self, *message_ids: int) -> None:
        for message_id in message_ids:
            self.intake.take_over(self.channel.deliver(command(message_id).to_body()))


def ids(tasks: Any) -> list[int]:
    return sorted(getattr(one, "task", one).message_id for one in tasks)


async def test_what_is_won_is_checked_and_the_rest_is_judged() -> None:
    claiming = Claiming(Statuses({1, 3}))

    await claiming.claimer.claim([task(1), task(2), task(3)])

    assert ids(claiming.checked) == [1, 3]
    assert ids(claiming.judged) == [2]


async def test_the_second_command_of_one_message_in_a_batch_is_judged() -> None:
    claiming = Claiming(Statuses({1}))
    first, second = task(1), task(1)

    await claiming.claimer.claim([first, second])

    assert [one.task for one in claiming.checked] == [first]
    assert claiming.judged == [second]


async def test_a_lost_answer_is_asked_for_again_under_the_same_token() -> None:
    statuses = Statuses({1, 2}, lost_answers=2)
    claiming = Claiming(statuses)

    await claiming.claimer.claim([task(1), task(2)])

    assert ids(claiming.checked) == [1, 2]
    assert len(statuses.tokens) == 3
    assert len(set(statuses.tokens)) == 1


async def test_a_claim_is_as_old_as_its_first_try_and_looked_after_when_it_is_long_outlived() -> None:
    statuses = Statuses({1})
    claiming = Claiming(statuses)

    await claiming.claimer.claim([task(1)])

    [one] = claiming.checked
    assert one.claim.at == NOW
    assert statuses.due_at == NOW + timedelta(seconds=30 + 60)


async def test_a_message_that_cannot_be_read_is_let_go_and_the_others_keep_their_claim() -> None:
    statuses = Statuses({1, 2, 3}, unreadable={2})
    claiming = Claiming(statuses)

    await claiming.claimer.claim([task(1), task(2), task(3)])

    assert ids(claiming.checked) == [1, 3]
    assert ids(claiming.let_go) == [2]
    assert claiming.judged == []
    assert len(set(statuses.tokens)) == 1


async def test_when_nothing_can_be_claimed_at_all_the_queue_is_not_let_go_of_in_a_rush() -> None:
    claiming = Claiming(Statuses({1, 2}, unreadable={1, 2}))
    loop = asyncio.get_running_loop()
    began_at_s = loop.time()

    await claiming.claimer.claim([task(1), task(2)])

    assert ids(claiming.let_go) == [1, 2]
    assert loop.time() - began_at_s >= ALL_FAILED_WAIT_S * 0.9


async def test_it_claims_no_more_than_can_be_started() -> None:
    statuses = Statuses(set(range(1, 11)))
    claiming = Claiming(statuses, places=4)
    claiming.deliver(*range(1, 11))
    running = asyncio.create_task(claiming.claimer.run())

    async with asyncio.timeout(5):
        await claiming.happened.wait()
    running.cancel()
    await asyncio.wait([running])

    assert statuses.batches[0] == [1, 2, 3, 4]


async def test_how_many_is_looked_at_when_there_is_something_to_claim_not_long_before() -> None:
    statuses = Statuses({1, 2, 3})
    claiming = Claiming(statuses, places=100)
    running = asyncio.create_task(claiming.claimer.run())
    await asyncio.sleep(0.01)  # it waits for a first task

    claiming.capacity.places = 2
    claiming.deliver(1, 2, 3)
    async with asyncio.timeout(5):
        await claiming.happened.wait()
    claiming.claimer.stop()
    async with asyncio.timeout(5):
        await asyncio.wait([running])

    assert statuses.batches[0] == [1, 2]


async def test_a_stop_ends_it_at_once_whatever_it_waits_for() -> None:
    # for a task
    idle = Claiming(Statuses(set()))
    # for somebody to be free, with tasks waiting
    saturated = Claiming(Statuses({1, 2}), places=0)
    saturated.deliver(1, 2)
    # for a batch to fill
    gathering = Claiming(Statuses({1, 2}))
    gathering.claimer._batch_wait_s = 60.0
    gathering.deliver(1, 2)

    for claiming in (idle, saturated, gathering):
        running = asyncio.create_task(claiming.claimer.run())
        await asyncio.sleep(0.01)

        claiming.claimer.stop()
        claiming.intake.close()
        claiming.capacity.places = 10  # its last calls have ended
        claiming.capacity.freed.set()

        async with asyncio.timeout(1):
            await running
        assert claiming.checked == []
        assert len(claiming.hand) == 0
