"""The ledger: every call that came in.

In memory, in order of arrival; where there is a file as well, a call is in it before it is answered.
Nothing is ever dropped to make room: a ledger that forgets would prove nothing. When it is full, calls are
refused instead.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from sys import intern
from typing import Protocol

from services.fake_provider.entry import Entry
from services.fake_provider.summary import Summary

MAX_PAGE_TEXT_CHARACTERS = 8_000_000


class LedgerRefusedError(Exception):
    """A call cannot be written down: the ledger is full, or its file does not take it."""


class LedgerWriter(Protocol):
    """Where entries go besides memory."""

    def write_entry(self, entry: Entry) -> None:
        """Keep a new entry.

        Raises:
            LedgerRefusedError: it could not be kept.
        """
        ...

    def write_answer(self, entry: Entry) -> None:
        """Keep what was answered to an entry written before.

        Raises:
            LedgerRefusedError: it could not be kept.
        """
        ...

    def clear(self) -> None:
        """Forget everything.

        Raises:
            LedgerRefusedError: it cannot be forgotten; all of it is still there.
        """
        ...


class Ledger:
    """Every call since the ledger was cleared."""

    def __init__(self, *, capacity: int, writer: LedgerWriter | None = None) -> None:
        """
        Args:
            capacity: most entries that are kept.
            writer: where entries go besides memory.
        """
        self._capacity = capacity
        self._writer = writer
        self._entries: list[Entry] = []
        self.summary = Summary()
        self.unrecorded = 0
        """Calls that were refused because they could not be written down."""

    def load(self, entries: list[Entry]) -> None:
        """Take over what an earlier run wrote; only into an empty ledger, in order of numbers."""
        self._entries = entries
        for entry in entries:
            entry.text = None if entry.text is None else intern(entry.text)
            self.summary.add(entry)

    def count_calls(self, message_id: int) -> int:
        """How many calls of a message are in the ledger."""
        return self.summary.calls_by_message[message_id]

    def record(
        self,
        *,
        message_id: int | None,
        phone: int | None,
        text: str | None,
        arrived_at: datetime,
        accepted: bool,
        fault: str | None,
        detail: str | None,
        headers: tuple[tuple[str, str], ...],
        answered_at: datetime | None = None,
        status: int | None = None,
    ) -> Entry:
        """Write down a call, with its answer where that follows at once.

        Raises:
            LedgerRefusedError: it is full, or the file does not take the entry; nothing was recorded.
        """
        if len(self._entries) >= self._capacity:
            self.unrecorded += 1
            raise LedgerRefusedError(f"the ledger is full: {self._capacity} calls")
        entry = Entry(
            number=len(self._entries) + 1,
            message_id=message_id,
            phone=phone,
            # A mailing has one text or few: 100,000 calls share them.
            text=None if text is None else intern(text),
            arrived_at=arrived_at,
            answered_at=answered_at,
            status=status,
            accepted=accepted,
            fault=fault,
            detail=detail,
            headers=headers,
        )
        if self._writer is not None:
            try:
                self._writer.write_entry(entry)
            except LedgerRefusedError:
                self.unrecorded += 1
                raise
        self._entries.append(entry)
        self.summary.add(entry)
        return entry

    def record_answer(self, entry: Entry, *, status: int, answered_at: datetime) -> None:
        """Write down what was answered in the end.

        Raises:
            LedgerRefusedError: the file does not take it; the entry stays unanswered.
        """
        if not self._holds(entry):
            return  # Cleared while the call was under way.
        entry.status, entry.answered_at = status, answered_at
        if self._writer is not None:
            try:
                self._writer.write_answer(entry)
            except LedgerRefusedError:
                entry.status, entry.answered_at = None, None
                raise
        self.summary.by_status[None] -= 1
        self.summary.by_status[status] += 1

    def clear(self) -> None:
        """Forget everything; numbers begin with 1 again.

        Raises:
            LedgerRefusedError: the file cannot be emptied; nothing was forgotten.
        """
        if self._writer is not None:
            self._writer.clear()
        self._entries = []
        self.summary = Summary()
        self.unrecorded = 0

    def page(
        self, *, after: int, limit: int, message_id: int | None = None, phone: int | None = None
    ) -> tuple[list[Entry], int | None]:
        """Entries in order of arrival, and the number to go on after, None at the end.

        A page ends early when its texts grow large. Filters look at every entry: 3 ms for 100,000.

        Args:
            after: only entries with a greater number.
            limit: most entries of the page.
        """
        page: list[Entry] = []
        characters = 0
        for entry in self._select(after, message_id, phone):
            if len(page) == limit or characters > MAX_PAGE_TEXT_CHARACTERS:
                return page, page[-1].number
            page.append(entry)
            characters += len(entry.text or "")
        return page, None

    def _select(self, after: int, message_id: int | None, phone: int | None) -> Iterator[Entry]:
        for entry in islice(self._entries, after, None):
            if (message_id is None or entry.message_id == message_id) and (phone is None or entry.phone == phone):
                yield entry

    def _holds(self, entry: Entry) -> bool:
        return entry.number <= len(self._entries) and self._entries[entry.number - 1] is entry
