"""One line of the ledger: a call, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True, kw_only=True)
class Entry:
    """One call.

    Attributes:
        number: 1 for the first call since the ledger was cleared.
        message_id, phone, text: as far as they could be read.
        answered_at, status: when an answer was handed to the connection, and which; None until then, and
            for ever when the connection ended without one.
        accepted: whether the provider would deliver the message, whatever the caller learned of it.
        fault: kind of the fault that was applied; None for a sound call.
        detail: which garbage, or what was wrong with the call.
        headers: those that tell callers and attempts apart, names in lower case.
    """

    number: int
    message_id: int | None
    phone: int | None
    text: str | None
    arrived_at: datetime
    answered_at: datetime | None
    status: int | None
    accepted: bool
    fault: str | None
    detail: str | None
    headers: tuple[tuple[str, str], ...]


def entry_document(entry: Entry) -> dict[str, Any]:
    """An entry for JSON, the same in the file and in `GET /ledger`."""
    return {
        "number": entry.number,
        "message_id": entry.message_id,
        "phone": entry.phone,
        "text": entry.text,
        "arrived_at": entry.arrived_at,
        "answered_at": entry.answered_at,
        "status": entry.status,
        "accepted": entry.accepted,
        "fault": entry.fault,
        "detail": entry.detail,
        "headers": dict(entry.headers),
    }
