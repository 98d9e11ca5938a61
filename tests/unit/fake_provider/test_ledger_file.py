"""The ledger on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.fake_provider.ledger import Ledger
from services.fake_provider.ledger_file import LedgerFile, LedgerFileError
from tests.unit.fake_provider.test_ledger import NOON, record


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    file = LedgerFile(path)
    try:
        ledger = Ledger(capacity=100, writer=file)
        ledger.load(file.read_entries())
        yield ledger
    finally:
        file.close()


def test_everything_is_there_again(tmp_path: Path) -> None:
    """Given a run with a sound call, one answered late and one never, when it is opened again, then it goes on."""
    path = tmp_path / "ledger.jsonl"
    with open_ledger(path) as ledger:
        record(ledger, 1, status=200, answered_at=NOON, text="Привет\n\x00", headers=(("x-attempt", "1"),))
        late = record(ledger, 2, fault="slow")
        record(ledger, None, phone=None, text=None, accepted=False, detail="the body is not JSON")
        ledger.record_answer(late, status=200, answered_at=NOON)
        written = ledger.page(after=0, limit=10)
        summary = ledger.summary.as_document()

    with open_ledger(path) as ledger:
        assert ledger.page(after=0, limit=10) == written
        assert ledger.summary.as_document() == summary
        assert record(ledger, 1).number == 4
        assert ledger.count_calls(1) == 2


def test_clearing_empties_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with open_ledger(path) as ledger:
        record(ledger, 1)
        late = record(ledger, 2)
        ledger.clear()
        ledger.record_answer(late, status=200, answered_at=NOON)
        record(ledger, 3)
    with open_ledger(path) as ledger:
        assert [entry.message_id for entry in ledger.page(after=0, limit=10)[0]] == [3]


@pytest.mark.parametrize("cut_bytes", [1, 40, 150])
def test_a_line_cut_off_by_a_kill_is_taken_away(tmp_path: Path, cut_bytes: int) -> None:
    path = tmp_path / "ledger.jsonl"
    with open_ledger(path) as ledger:
        for message_id in (1, 2):
            record(ledger, message_id)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    with open_ledger(path) as ledger:
        assert ledger.summary.calls == 1
        record(ledger, 3)
    with open_ledger(path) as ledger:
        assert [entry.message_id for entry in ledger.page(after=0, limit=10)[0]] == [1, 3]


@pytest.mark.parametrize(
    "content",
    [b"root:x:0:0", b"root:x:0:0\n", b"{}\n", b"[]\n", b'{"number": 1, "status": 200, "answered_at": null}\n', b"7\n"],
)
def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "passwd"
    path.write_bytes(content)
    with pytest.raises(LedgerFileError, match="line 1"), open_ledger(path):
        pass
    assert path.read_bytes() == content


def test_a_second_process_cannot_have_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with open_ledger(path), pytest.raises(LedgerFileError, match="in use"), open_ledger(path):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerFileError, match="No such file"), open_ledger(tmp_path / "missing" / "ledger"):
        pass
