"""Which fault befalls which call: seeded, without clock and without I/O.

What happens to a call follows from the seed, the message id and how often this message was called before:
never from the order in which concurrent calls arrive. So a run with the same messages meets the same
faults, however its calls interleave. (`times` alone is first come, first served.)
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from hashlib import blake2b

from services.fake_provider.answers import (
    ACCEPTED,
    Answer,
    answer_garbage,
    answer_redirect,
    answer_refusal,
    answer_status,
)
from services.fake_provider.faults import (
    Fault,
    FaultDocument,
    Garbage,
    Hang,
    Redirect,
    Refusal,
    Refuse,
    Reset,
    Selected,
    Slow,
    Status,
)
from services.fake_provider.incoming import SendRequest


class Ending(Enum):
    """How a call ends."""

    ANSWER = auto()
    HANG = auto()
    RESET = auto()
    REFUSE = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done to one call.

    `wait_s` passes first, seconds; `answer` belongs to the ending ANSWER, `refuse_s` to REFUSE. `accepted`
    is decided when the call arrives and holds whatever becomes of the connection.
    """

    accepted: bool
    fault: str | None = None
    detail: str | None = None
    wait_s: float = 0.0
    ending: Ending = Ending.ANSWER
    answer: Answer | None = None
    refuse_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Draws:
    """Independent even draws from [0, 1), one for each question."""

    which: float
    accepts: float
    delay: float
    body: float


def draw(seed: int, message_id: int, nth_call: int) -> Draws:
    """The draws of the nth call of a message."""
    digest = blake2b(struct.pack("<qqq", seed, message_id, nth_call), digest_size=32).digest()
    # 53 bits: what a float in [0, 1) holds without rounding up to 1.
    return Draws(*((number >> 11) * 2.0**-53 for number in struct.unpack("<QQQQ", digest)))


class FaultPlan:
    """The faults in force, and how often each was applied."""

    def __init__(self) -> None:
        self.replace(FaultDocument())

    def replace(self, document: FaultDocument) -> None:
        """Put other faults in force; what was counted towards `times` is forgotten."""
        self.document = document
        self._remaining = [fault.times for fault in document.faults]
        self._matches = [_selector(fault) for fault in document.faults]
        self._sound = Decision(accepted=True, wait_s=document.latency_s, answer=ACCEPTED)

    def decide(self, call: SendRequest, *, nth_call: int, at_s: float) -> Decision:
        """What is done to this call.

        Args:
            nth_call: 1 for the first call of this message.
            at_s: now, seconds of the epoch; for dates in headers.
        """
        if not self.document.faults:
            return self._sound
        draws = draw(self.document.seed, call.message_id, nth_call)
        reached = 0.0
        for position, fault in enumerate(self.document.faults):
            remaining = self._remaining[position]
            if remaining == 0 or not self._matches[position](call):
                continue
            reached += fault.probability
            if draws.which < reached:
                if remaining is not None:
                    self._remaining[position] = remaining - 1
                decision = _apply(fault, draws, at_s)
                return replace(decision, wait_s=decision.wait_s + self.document.latency_s)
        return self._sound


def _apply(fault: Fault, draws: Draws, at_s: float) -> Decision:
    match fault:
        case Slow():
            span_s = 0.0 if fault.delay_max_s is None else fault.delay_max_s - fault.delay_s
            wait_s = fault.delay_s + draws.delay * span_s
            return Decision(accepted=True, fault=fault.kind, wait_s=wait_s, answer=ACCEPTED)
        case Hang():
            return Decision(draws.accepts < fault.accepts, fault.kind, ending=Ending.HANG)
        case Reset():
            return Decision(draws.accepts < fault.accepts, fault.kind, ending=Ending.RESET)
        case Status():
            answer = answer_status(
                fault.code,
                retry_after_s=fault.retry_after_s,
                retry_after_date=fault.retry_after_date,
                body_bytes=fault.body_bytes,
                at_s=at_s,
            )
            return Decision(draws.accepts < fault.accepts, fault.kind, answer=answer)
        case Garbage():
            body = fault.bodies[int(draws.body * len(fault.bodies))]
            return Decision(draws.accepts < fault.accepts, fault.kind, body.value, answer=answer_garbage(body))
        case Redirect():
            return Decision(False, fault.kind, answer=answer_redirect(fault.code, fault.location))
        case Refusal():
            return Decision(False, fault.kind, answer=answer_refusal(fault.code, fault.message))
        case Refuse():
            return Decision(False, fault.kind, ending=Ending.REFUSE, refuse_s=fault.duration_s)


def _selector(fault: Selected) -> Callable[[SendRequest], bool]:
    """The selectors of a fault as one question about a call."""
    if isinstance(fault, Refuse) and fault.starts == "at_once":
        return lambda call: False
    phones = None if fault.for_phones is None else frozenset(fault.for_phones)
    prefixes, modulo, texts = fault.for_phone_prefixes, fault.for_phone_modulo, fault.for_texts

    def matches(call: SendRequest) -> bool:
        return (
            (phones is None or call.phone in phones)
            and (prefixes is None or str(call.phone).startswith(prefixes))
            and (modulo is None or call.phone % modulo.divisor == modulo.remainder)
            and (texts is None or any(text in call.text for text in texts))
        )

    return matches
