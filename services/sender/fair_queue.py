"""Fair queue: tasks of many mailings, taken out one mailing after the other.

So a hundred tasks of one mailing do not delay the only one of another by more than a turn.
"""

from collections import deque
from collections.abc import Callable, Iterator

from services.sender.task import Task


class FairQueue:
    """Tasks by mailing, each mailing's in their order."""

    def __init__(self) -> None:
        self._by_mailing: dict[int, deque[Task]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Task]:
        for tasks in self._by_mailing.values():
            yield from tasks

    def append(self, task: Task) -> None:
        self._by_mailing.setdefault(task.command.mailing_id, deque()).append(task)
        self._length += 1

    def pop(self) -> Task:
        """The first task of the mailing whose turn it is; that mailing then waits for all others.

        Raises:
            IndexError: it is empty.
        """
        if not self._length:
            raise IndexError("no task is waiting")
        mailing_id = next(iter(self._by_mailing))
        tasks = self._by_mailing.pop(mailing_id)
        task = tasks.popleft()
        if tasks:
            self._by_mailing[mailing_id] = tasks
        self._length -= 1
        return task

    def drop(self, is_unwanted: Callable[[Task], bool]) -> list[Task]:
        """Take out every task of which this is so; those taken out."""
        tasks = list(self)
        self._by_mailing.clear()
        self._length = 0
        dropped = []
        for task in tasks:
            if is_unwanted(task):
                dropped.append(task)
            else:
                self.append(task)
        return dropped
