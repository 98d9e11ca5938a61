"""Provider: what the sender asks of whoever delivers, and what it may be told. Another provider is another class."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """One message to deliver, and the limits of time.

    Attributes:
        message_id: the same for every attempt.
        phone: 11 digits.
        text: as rendered for this client.
        start_within_s: seconds left in which a try may start; asked again before every try, and before it is written.
        end_within_s: seconds in which the whole attempt must have ended.
        may_try_again: whether a refused try may be followed by another at once; asked once for each.
    """

    message_id: int
    phone: str
    text: str
    start_within_s: Callable[[], float]
    end_within_s: float
    may_try_again: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        http_status: None when no answer came.
        body: what the provider said, at most the cap; None when it did not end, or was larger.
        error: what went wrong on the way, in words; None when a whole answer came.
        started: whether any try was started: False when there was no time left.
        written: whether the request of the last try may have reached the provider.
        latency_ms: of the last try.
        retry_after_s: how long the provider asks to be left alone, seconds; None when it does not.
    """

    http_status: int | None
    body: bytes | None
    error: str | None
    started: bool
    written: bool
    latency_ms: int | None
    retry_after_s: float | None = None


class Unsendable(Exception):
    """A message cannot be put into a request, now or ever. Nothing was sent."""


class Provider(Protocol):
    """Delivers messages."""

    async def deliver(self, call: Call) -> Answer:
        """Try to deliver one message. Never raises for what the network or the provider does.

        Raises:
            Unsendable: the message cannot be put into a request.
        """
        ...
