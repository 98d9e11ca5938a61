"""Delivery: one message as the broker delivered it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiormq import spec
from aiormq.abc import DeliveredMessage

from shared.broker.acks import Acks


@dataclass(frozen=True, slots=True)
class Delivery:
    """A body, and the means to settle it: to say that nothing more is to be done for it."""

    body: bytes
    headers: Mapping[str, Any]
    redelivered: bool
    tag: int
    acks: Acks
    routing_key: str = ""

    @classmethod
    def of(cls, message: DeliveredMessage, acks: Acks) -> Self | None:
        """The delivery, entered into its channel's acks; None when the frame carries no message."""
        frame = message.delivery
        if not isinstance(frame, spec.Basic.Deliver | spec.Basic.GetOk) or frame.delivery_tag is None:
            return None
        acks.delivered(frame.delivery_tag)
        headers = message.header.properties.headers or {}
        routing_key = frame.routing_key or ""
        return cls(message.body, headers, bool(frame.redelivered), frame.delivery_tag, acks, routing_key)

    def settle(self) -> None:
        self.acks.settle(self.tag)
