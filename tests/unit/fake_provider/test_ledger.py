"""The ledger's sums, pages and bounds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.fake_provider.entry import Entry
from services.fake_provider.ledger import Ledger, LedgerRefusedError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def record(ledger: Ledger, message_id: int | None, **other: Any) -> Entry:
    call: dict[str, Any] = {
        "phone": 79001234567,
        "text": "Hello",
        "arrived_at": NOON,
        "accepted": True,
        "fault": None,
        "detail": None,
        "headers": (),
    }
    return ledger.record(message_id=message_id, **(call | other))


def test_the_summary_adds_up() -> None:
    """Given a message accepted twice, one refused, one hanging and a call nobody can name."""
    ledger = Ledger(capacity=10)
    record(ledger, 1, status=200, answered_at=NOON)
    record(ledger, 1, status=200, answered_at=NOON, fault="slow")
    record(ledger, 2, accepted=False, status=503, answered_at=NOON, fault="status")
    record(ledger, 3, accepted=True, fault="hang")
    record(ledger, None, accepted=False, status=400, answered_at=NOON, arrived_at=NOON + timedelta(seconds=9))

    assert ledger.summary.as_document() == {
        "calls": 5,
        "accepted": 3,
        "distinct_message_ids": 3,
        "distinct_accepted_message_ids": 2,
        "duplicates": 1,
        "duplicate_message_ids": [1],
        "by_status": {"200": 2, "503": 1, "none": 1, "400": 1},
        "by_fault": {"none": 2, "slow": 1, "status": 1, "hang": 1},
        "first_call_at": NOON,
        "last_call_at": NOON + timedelta(seconds=9),
    }


def test_a_message_accepted_three_times_is_one_duplicate() -> None:
    ledger = Ledger(capacity=10)
    for _ in range(3):
        record(ledger, 1)
    assert ledger.summary.as_document()["duplicates"] == 1


def test_a_later_answer_moves_the_call_from_none_to_its_status() -> None:
    ledger = Ledger(capacity=10)
    entry = record(ledger, 1)
    ledger.record_answer(entry, status=200, answered_at=NOON)
    assert ledger.summary.as_document()["by_status"] == {"200": 1}
    assert (entry.status, entry.answered_at) == (200, NOON)


def test_an_answer_to_a_call_from_before_the_clearing_changes_nothing() -> None:
    """Given a call under way when the ledger is cleared, and another since."""
    ledger = Ledger(capacity=10)
    old = record(ledger, 1)
    ledger.clear()
    new = record(ledger, 2)
    ledger.record_answer(old, status=200, answered_at=NOON)
    assert ledger.summary.as_document()["by_status"] == {"none": 1}
    assert new.status is None


def test_pages_join_without_gap_or_overlap() -> None:
    ledger = Ledger(capacity=100)
    for message_id in range(25):
        record(ledger, message_id % 3, phone=message_id % 2 + 1)
    numbers: list[int] = []
    after: int | None = 0
    while after is not None:
        entries, after = ledger.page(after=after, limit=10)
        numbers += [entry.number for entry in entries]
    assert numbers == list(range(1, 26))
    assert [entry.number for entry in ledger.page(after=0, limit=100, message_id=2, phone=1)[0]] == [3, 9, 15, 21]
    assert ledger.page(after=25, limit=10) == ([], None)
    assert ledger.page(after=2**63 - 1, limit=10) == ([], None)


def test_a_page_of_long_texts_ends_early() -> None:
    ledger = Ledger(capacity=100)
    for message_id in range(20):
        record(ledger, message_id, text="x" * 1_000_000)
    entries, next_after = ledger.page(after=0, limit=20)
    assert (len(entries), next_after) == (9, 9)


def test_a_full_ledger_refuses_rather_than_forgets() -> None:
    ledger = Ledger(capacity=1)
    record(ledger, 1)
    with pytest.raises(LedgerRefusedError, match="full"):
        record(ledger, 2)
    assert (ledger.summary.calls, ledger.unrecorded) == (1, 1)
    ledger.clear()
    record(ledger, 2)
    assert (ledger.summary.calls, ledger.unrecorded) == (1, 0)
