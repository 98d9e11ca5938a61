"""Progress: a bar where a person watches, a line every few seconds elsewhere. On standard error."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 2


class Watch:
    """Shows how far one act has come. Use it as a context."""

    def __init__(self, act: str, total: int) -> None:
        """
        Args:
            act: what is done, for a person.
            total: steps until it is done.
        """
        self._act = act
        self._total = total
        self._line_due_s = 0.0
        self._last_line = ""
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[detail]}"), console=Console(stderr=True))
            self._task = self._bar.add_task(act, total=total, detail="")

    def show(self, done: int, detail: str = "") -> None:
        """So many steps are done."""
        if self._bar:
            self._bar.update(self._task, completed=done, detail=detail)
            return
        line = f"{self._act}: {done} of {self._total} {detail}".rstrip()
        if line != self._last_line and (time.monotonic() >= self._line_due_s or done == self._total):
            self._last_line = line
            self._line_due_s = time.monotonic() + LINE_EVERY_S
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
