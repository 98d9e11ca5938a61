"""The ledger on disk: JSON lines, written before the answer goes out, read back at the next start.

Two kinds of line: an entry, when the call comes in; and, for calls that are answered later, its answer:

    {"number": 7, "message_id": 41, ..., "answered_at": null, "status": null, ...}
    {"number": 7, "answered_at": "2026-03-01T09:00:00.250000Z", "status": 200}

A line is handed to the operating system before the call is answered, so it survives a kill -9 of the
process; it is not synced to the disk, so it need not survive the machine's power.
"""

import fcntl
import os
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from services.fake_provider.entry import Entry, entry_document
from services.fake_provider.ledger import LedgerRefusedError

_LINE_START = b'{"number":'


class LedgerFileError(Exception):
    """The file cannot be used: not readable, not ours, or in use by another process."""


class LedgerFile:
    """An open ledger file, locked against a second process."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            LedgerFileError: it cannot be opened, or another process has it.
        """
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerFileError(f"ledger file {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise LedgerFileError(f"ledger file {path} is in use by another process") from error
        self._size_bytes = 0

    def read_entries(self) -> list[Entry]:
        """Everything that earlier runs wrote; to be called once, before anything is written.

        A last line without its end was cut off by a kill and is taken away; its call was never answered.

        Raises:
            LedgerFileError: a line is not one of a ledger.
        """
        entries: list[Entry] = []
        with os.fdopen(os.dup(self._descriptor), "rb") as lines:
            for line_number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n") and line.startswith(_LINE_START[: len(line)]):
                    break
                try:
                    _take_line(entries, orjson.loads(line))
                except (ValueError, KeyError, TypeError) as error:
                    raise LedgerFileError(f"ledger file {self._path}: line {line_number} is not a ledger's") from error
                self._size_bytes += len(line)
        self._truncate()
        return entries

    def write_entry(self, entry: Entry) -> None:
        """Append an entry; see `LedgerWriter`."""
        self._append(entry_document(entry))

    def write_answer(self, entry: Entry) -> None:
        """Append an answer; see `LedgerWriter`."""
        self._append({"number": entry.number, "answered_at": entry.answered_at, "status": entry.status})

    def clear(self) -> None:
        """Empty the file; see `LedgerWriter`."""
        size_bytes, self._size_bytes = self._size_bytes, 0
        try:
            self._truncate()
        except LedgerFileError as error:
            self._size_bytes = size_bytes
            raise LedgerRefusedError(str(error)) from error

    def close(self) -> None:
        """Close the file and give up its lock."""
        os.close(self._descriptor)

    def _append(self, document: dict[str, Any]) -> None:
        line = orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
        try:
            written_bytes = os.pwrite(self._descriptor, line, self._size_bytes)
        except OSError as error:
            raise LedgerRefusedError(f"ledger file {self._path}: {error.strerror}") from error
        if written_bytes < len(line):
            self._truncate()
            raise LedgerRefusedError(f"ledger file {self._path}: no room")
        self._size_bytes += len(line)

    def _truncate(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._size_bytes)
        except OSError as error:
            raise LedgerFileError(f"ledger file {self._path}: {error.strerror}") from error


def _take_line(entries: list[Entry], document: dict[str, Any]) -> None:
    if "arrived_at" not in document:
        entry = entries[_index(document, len(entries))]
        entry.answered_at = datetime.fromisoformat(document["answered_at"])
        entry.status = document["status"]
        return
    if document["number"] != len(entries) + 1:
        raise ValueError("entries are numbered on")
    if document.keys() != {item.name for item in fields(Entry)}:
        raise ValueError("an entry has other fields")
    document["arrived_at"] = datetime.fromisoformat(document["arrived_at"])
    if document["answered_at"] is not None:
        document["answered_at"] = datetime.fromisoformat(document["answered_at"])
    document["headers"] = tuple(document["headers"].items())
    entries.append(Entry(**document))


def _index(document: dict[str, Any], known: int) -> int:
    number = document["number"]
    if type(number) is not int or not 1 <= number <= known:
        raise ValueError("an answer to an entry that is not there")
    return number - 1
