"""What one chunk of work came to."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that was done.

    Attributes:
        kind: what was done, for the log.
        handled: how many clients or messages.
        look_at: when to look at the mailing again; None for never.
        changes: fields of the mailing to write together with giving the lease back.
        released: whether the lease was given back already.
    """

    kind: str
    handled: int
    look_at: datetime | None
    changes: dict[str, Any] = field(default_factory=dict)
    released: bool = False
