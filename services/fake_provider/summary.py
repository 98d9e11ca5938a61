"""The sums over the ledger, kept up with every call: asking costs the same at any size."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from services.fake_provider.entry import Entry

MAX_DUPLICATE_IDS_SHOWN = 100


@dataclass(slots=True)
class Summary:
    """Sums over the calls. They are kept up with every call, so that asking costs the same at any size."""

    calls: int = 0
    accepted: int = 0
    by_status: Counter[int | None] = field(default_factory=Counter)
    by_fault: Counter[str | None] = field(default_factory=Counter)
    calls_by_message: Counter[int] = field(default_factory=Counter)
    accepted_by_message: Counter[int] = field(default_factory=Counter)
    duplicate_message_ids: dict[int, None] = field(default_factory=dict)
    first_call_at: datetime | None = None
    last_call_at: datetime | None = None

    def add(self, entry: Entry) -> None:
        """Count a new entry."""
        self.calls += 1
        self.by_status[entry.status] += 1
        self.by_fault[entry.fault] += 1
        self.first_call_at = self.first_call_at or entry.arrived_at
        self.last_call_at = entry.arrived_at
        if entry.message_id is not None:
            self.calls_by_message[entry.message_id] += 1
        if entry.accepted and entry.message_id is not None:
            self.accepted += 1
            self.accepted_by_message[entry.message_id] += 1
            if self.accepted_by_message[entry.message_id] == 2:
                self.duplicate_message_ids[entry.message_id] = None

    def as_document(self) -> dict[str, Any]:
        """For JSON; `by_status` counts unanswered calls under "none", `by_fault` sound ones."""
        return {
            "calls": self.calls,
            "accepted": self.accepted,
            "distinct_message_ids": len(self.calls_by_message),
            "distinct_accepted_message_ids": len(self.accepted_by_message),
            "duplicates": len(self.duplicate_message_ids),
            "duplicate_message_ids": list(islice(self.duplicate_message_ids, MAX_DUPLICATE_IDS_SHOWN)),
            "by_status": _named(self.by_status),
            "by_fault": _named(self.by_fault),
            "first_call_at": self.first_call_at,
            "last_call_at": self.last_call_at,
        }


def _named(counts: Mapping[Any, int]) -> dict[str, int]:
    return {"none" if key is None else str(key): count for key, count in counts.items() if count > 0}
