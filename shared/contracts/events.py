"""Events: what happened to a mailing, in the past tense. They wake somebody up and carry no truth of their own."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, field_serializer

from shared.contracts.commands import Int64Id
from shared.contracts.version import Contract

MAILING_EVENTS_PATTERN = "mailing.*.v1"


class MailingEventKind(StrEnum):
    """What happened."""

    SCHEDULED = "scheduled"
    UPDATED = "updated"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    DELETED = "deleted"
    REPLAY_REQUESTED = "replay_requested"
    COMPLETED = "completed"


class MailingEvent(Contract):
    """Something happened to a mailing."""

    kind: MailingEventKind
    mailing_id: Int64Id
    at: AwareDatetime
    request_id: Annotated[str, Field(max_length=200)] | None = None

    @property
    def routing_key(self) -> str:
        return f"mailing.{self.kind}.v1"

    @field_serializer("at")
    def _in_utc_with_milliseconds(self, at: datetime) -> str:
        return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
