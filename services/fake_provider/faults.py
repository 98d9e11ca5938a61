"""The faults as data: the document of `PUT /faults`, checked strictly.

    {"seed": 1, "latency_s": 0.01, "faults": [
        {"kind": "slow", "probability": 0.3, "delay_s": 0.2, "delay_max_s": 0.5},
        {"kind": "status", "probability": 0.1, "code": 503, "retry_after_s": 2},
        {"kind": "reset", "times": 3, "for_phones": [79001234567]}]}

A probability is a share of the calls that a fault is for: 0.3 and 0.1 leave 60 % of them sound. Where the
shares add up to more than 1, those first in the list have precedence.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.fake_provider.answers import GarbageBody
from services.fake_provider.incoming import INT64_MAX, INT64_MIN, MAX_PHONE

MAX_WAIT_S = 600.0
"""Longest delay, hang or refusal of connections, seconds."""

MAX_FAULTS = 100
MAX_SELECTED_PHONES = 50_000
MAX_SELECTED_TEXTS = 1_000
MAX_STATUS_BODY_BYTES = 10 * 1024 * 1024

Share = Annotated[float, Field(ge=0, le=1)]
Wait = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class PhoneModulo(_Document):
    """Phones whose number, divided by `divisor`, leaves `remainder`."""

    divisor: Annotated[int, Field(ge=1, le=MAX_PHONE)]
    remainder: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _remainder_is_possible(self) -> Self:
        if self.remainder >= self.divisor:
            raise ValueError("remainder must be below divisor")
        return self


class Selected(_Document):
    """Which calls a fault is for, which share of them, and how many of them at most.

    Of several selectors all must fit. Without one, a fault is for every call.
    """

    probability: Share = 1.0
    times: Annotated[int, Field(ge=1, le=INT64_MAX)] | None = None
    for_phones: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=MAX_PHONE)], ...],
            Field(min_length=1, max_length=MAX_SELECTED_PHONES),
        ]
        | None
    ) = None
    for_phone_prefixes: (
        Annotated[
            tuple[Annotated[str, Field(pattern=r"^[0-9]{1,15}$")], ...],
            Field(min_length=1, max_length=MAX_SELECTED_TEXTS),
        ]
        | None
    ) = None
    for_phone_modulo: PhoneModulo | None = None
    for_texts: (
        Annotated[
            tuple[Annotated[str, Field(min_length=1)], ...],
            Field(min_length=1, max_length=MAX_SELECTED_TEXTS),
        ]
        | None
    ) = None
    """Parts of texts: a call is meant when its text contains any of them."""


class Slow(Selected):
    """Accepted at once, answered after `delay_s`, or after something between it and `delay_max_s`."""

    kind: Literal["slow"]
    delay_s: Wait
    delay_max_s: Wait | None = None

    @model_validator(mode="after")
    def _range_is_ascending(self) -> Self:
        if self.delay_max_s is not None and self.delay_max_s < self.delay_s:
            raise ValueError("delay_max_s must not be below delay_s")
        return self


class Hang(Selected):
    """Never answered. The connection is kept until the caller leaves, 600 s at most."""

    kind: Literal["hang"]
    accepts: Share = 0.0


class Reset(Selected):
    """The request is read, the connection is reset (RST)."""

    kind: Literal["reset"]
    accepts: Share = 0.5


class Status(Selected):
    """Answered with a status. `retry_after_date` writes `Retry-After` as a date rather than as seconds."""

    kind: Literal["status"]
    code: Annotated[int, Field(ge=400, le=599)]
    accepts: Share = 0.0
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    retry_after_date: bool = False
    body_bytes: Annotated[int, Field(ge=0, le=MAX_STATUS_BODY_BYTES)] = 0
    """The body is padded to at least so many bytes."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.accepts > 0 and self.code < 500:
            raise ValueError("accepts: a status below 500 says that the message was not accepted")
        if self.retry_after_date and self.retry_after_s is None:
            raise ValueError("retry_after_date needs retry_after_s")
        return self


class Garbage(Selected):
    """200 with a body that is not the protocol's: one of `bodies`, drawn evenly; all of them when absent."""

    kind: Literal["garbage"]
    accepts: Share = 0.5
    bodies: Annotated[tuple[GarbageBody, ...], Field(min_length=1, max_length=100)] = tuple(GarbageBody)


class Redirect(Selected):
    """Sent elsewhere, not accepted."""

    kind: Literal["redirect"]
    code: Literal[301, 302, 303, 307, 308] = 302
    location: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,2000}$")] = "/v1/elsewhere"


class Refusal(Selected):
    """200 with an integer code that is not 0: the provider will not send this message."""

    kind: Literal["refusal"]
    code: Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)] = 1
    message: Annotated[str, Field(max_length=2000)] = "REFUSED"

    @model_validator(mode="after")
    def _code_refuses(self) -> Self:
        if self.code == 0:
            raise ValueError("code: 0 means accepted")
        return self


class Refuse(Selected):
    """The listening socket and all connections are closed, for `duration_s`; then it listens again.

    `at_once`: before the PUT that asks for it is answered, once. `on_call`: each time that a call draws it;
    that call is not accepted. While it is closed there is no control either.
    """

    kind: Literal["refuse"]
    duration_s: Annotated[float, Field(gt=0, le=MAX_WAIT_S)]
    starts: Literal["at_once", "on_call"] = "at_once"

    @model_validator(mode="after")
    def _at_once_selects_nothing(self) -> Self:
        selecting = self.model_fields_set & set(Selected.model_fields)
        if self.starts == "at_once" and selecting:
            raise ValueError(f"{', '.join(sorted(selecting))}: only with starts on_call")
        return self


Fault = Annotated[Slow | Hang | Reset | Status | Garbage | Redirect | Refusal | Refuse, Field(discriminator="kind")]


class FaultDocument(_Document):
    """Everything that `PUT /faults` sets; an empty object means a sound provider.

    `latency_s` passes before anything else happens to a call, sound calls included.
    """

    seed: Annotated[int, Field(ge=0, le=INT64_MAX)] = 0
    latency_s: Wait = 0.0
    faults: Annotated[tuple[Fault, ...], Field(max_length=MAX_FAULTS)] = ()

    @model_validator(mode="after")
    def _one_refuse_at_once(self) -> Self:
        if sum(isinstance(fault, Refuse) and fault.starts == "at_once" for fault in self.faults) > 1:
            raise ValueError("faults: at most one refuse that starts at_once")
        return self

    def refuse_at_once_s(self) -> float | None:
        """How long the socket is to be closed now, seconds; None when it is not to be."""
        for fault in self.faults:
            if isinstance(fault, Refuse) and fault.starts == "at_once":
                return fault.duration_s
        return None
