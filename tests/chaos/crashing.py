"""Crashing: a process that dies or stalls at a named place, once. Planted by the launcher.

Before it does, it leaves a mark, so that the test knows that the place was reached.
"""

import asyncio
import inspect
import os
import signal
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tests.chaos.planting import replace

_inside: ContextVar[bool] = ContextVar("inside", default=False)


def plant_point(point: dict[str, Any], service: str) -> None:
    """Plant a crash point into this process.

    Args:
        point: `place`, such as `services.sender.judge:Judge.judge`; `when`: "before" it, "after" it, or, of a method
            of the store, "at" an operation of its collection, named in `operation`; `act`: "die" or "stall"; `mark`:
            the file that says it was reached; perhaps `inside`: only while that other function runs; perhaps
            `delay_s`: so much later, seconds; perhaps `successful`: only after it has returned something.
        service: of the process.
    """
    crash = _Crash(point)
    if point.get("inside"):
        replace(point["inside"], _note_inside)
    if point["when"] == "at":
        replace(point["place"], lambda original: _at_operation(original, point["operation"], crash))
    else:
        replace(point["place"], lambda original: _around(original, point["when"], crash))


class _Crash:
    """What happens at the place, the first time."""

    def __init__(self, point: dict[str, Any]) -> None:
        self._point = point
        self._done = False

    def after(self, result: object) -> None:
        if result or not self._point.get("successful"):
            self.now()

    def now(self) -> None:
        if self._done or (self._point.get("inside") and not _inside.get()):
            return
        self._done = True
        if delay_s := self._point.get("delay_s"):
            asyncio.get_running_loop().call_later(delay_s, self._act)
        else:
            self._act()

    def _act(self) -> None:
        Path(self._point["mark"]).write_text(str(os.getpid()))
        # A stop takes hold when the system call returns: nothing of this process runs between the mark and the stop.
        os.kill(os.getpid(), signal.SIGKILL if self._point["act"] == "die" else signal.SIGSTOP)


def _around(original: Any, when: str, crash: _Crash) -> Any:
    if inspect.iscoroutinefunction(original):

        async def wrapped(*arguments: Any, **options: Any) -> Any:
            if when == "before":
                crash.now()
            result = await original(*arguments, **options)
            if when == "after":
                crash.after(result)
            return result

        return wrapped

    def wrapped_plainly(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            crash.now()
        result = original(*arguments, **options)
        if when == "after":
            crash.after(result)
        return result

    return wrapped_plainly


def _note_inside(original: Any) -> Any:
    async def wrapped(*arguments: Any, **options: Any) -> Any:
        token = _inside.set(True)
        try:
            return await original(*arguments, **options)
        finally:
            _inside.reset(token)

    return wrapped


def _at_operation(original: Any, operation: str, crash: _Crash) -> Any:
    """Between two operations of one method of the store: just before the one that is named."""

    async def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
        watched = object.__new__(type(self))
        watched.__dict__.update(self.__dict__, _collection=_Watched(self._collection, operation, crash))
        return await original(watched, *arguments, **options)

    return wrapped


class _Watched:
    """A collection that crashes at an operation."""

    def __init__(self, collection: Any, operation: str, crash: _Crash) -> None:
        self._collection = collection
        self._operation = operation
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        if name == self._operation:
            self._crash.now()
        return getattr(self._collection, name)
