"""Given tasks of several mailings, when they are taken out, then no mailing waits for another's backlog."""

import pytest

from services.sender.fair_queue import FairQueue
from services.sender.task import Task
from shared.contracts.commands import SendCommand


def task(message_id: int, mailing_id: int) -> Task:
    command = SendCommand(message_id=message_id, mailing_id=mailing_id, attempt=1)
    return Task(command, delivery=None, recover=False)  # type: ignore[arg-type]


def queue_of(*tasks: Task) -> FairQueue:
    queue = FairQueue()
    for one in tasks:
        queue.append(one)
    return queue


def taken(queue: FairQueue) -> list[int]:
    return [queue.pop().message_id for _ in range(len(queue))]


def test_mailings_take_turns_and_each_keeps_its_order() -> None:
    queue = queue_of(*(task(n, 1) for n in range(1, 6)), task(11, 2), task(21, 3), task(22, 3))
    assert len(queue) == 8
    assert taken(queue) == [1, 11, 21, 2, 22, 3, 4, 5]
    assert len(queue) == 0


def test_what_comes_late_waits_one_turn() -> None:
    queue = queue_of(*(task(n, 1) for n in range(1, 4)))
    assert queue.pop().message_id == 1
    queue.append(task(11, 2))
    assert taken(queue) == [2, 11, 3]


def test_what_is_dropped_is_told_and_the_rest_stays() -> None:
    queue = queue_of(*(task(n, n % 2 + 1) for n in range(1, 7)))
    dropped = queue.drop(lambda one: one.message_id % 3 == 0)
    assert sorted(one.message_id for one in dropped) == [3, 6]
    assert sorted(taken(queue)) == [1, 2, 4, 5]


def test_an_empty_one_says_so() -> None:
    with pytest.raises(IndexError):
        FairQueue().pop()
