"""Messages as the API shows them."""

from typing import Any

from pydantic import BaseModel, Field

from services.api.instants import Instant
from shared.domain.message import MessageStatus, Outcome
from shared.store.message_documents import Attempt, Message


class AttemptView(BaseModel):
    """What one attempt came to."""

    at: Instant
    outcome: Outcome
    http_status: int | None = Field(description="what the provider answered; null when it did not, or was not called")
    latency_ms: int | None = Field(description="how long it took")
    error: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> "AttemptView":
        return cls(**{name: getattr(attempt, name) for name in cls.model_fields})


class MessageSummary(BaseModel):
    """A message, as lists show it."""

    id: int
    mailing_id: int
    client_id: int
    phone: str
    operator_code: str
    status: MessageStatus
    attempt: int = Field(description="number of the last attempt, 0 before the first")
    ambiguous: bool = Field(description="whether the outcome of a call was ever unknown")
    reason: str | None = Field(description="why it waits, or why it was not sent")
    revision: int | None = Field(description="the mailing's revision that it was sent from")
    due_at: Instant | None = Field(description="when it is looked after if nothing happens before")
    created_at: Instant
    sent_at: Instant | None
    updated_at: Instant

    @classmethod
    def of(cls, message: Message) -> "MessageSummary":
        return cls(**{name: getattr(message, name) for name in cls.model_fields})


class MessageView(MessageSummary):
    """A message with its attempts."""

    attempts: list[AttemptView]

    @classmethod
    def of(cls, message: Message) -> "MessageView":
        fields: dict[str, Any] = {name: getattr(message, name) for name in MessageSummary.model_fields}
        return cls(**fields, attempts=[AttemptView.of(one) for one in message.attempts])
