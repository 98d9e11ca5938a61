"""The provider and its ledger: what was called, by whom, under which claim, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from services.sender.provider.provider import Answer, Call
from tests.integration.protocol.process import Process


class Reply(Enum):
    """How the provider takes a call."""

    ACCEPTED = auto()
    ACCEPTED_UNHEARD = auto()  # accepted, and the answer is lost
    REFUSED = auto()  # 500: certainly not accepted
    PERMANENT = auto()  # 400
    UNHEARD = auto()  # not accepted, and nobody is told
    UNREACHABLE = auto()  # no connection: no call


ACCEPTING = frozenset({Reply.ACCEPTED, Reply.ACCEPTED_UNHEARD})


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A call that reached the provider. `token` is of the claim under which it was made."""

    message_id: int
    process: str
    token: str
    at: datetime
    accepted: bool


class Ledger:
    """Every call, and how the next one will be taken."""

    def __init__(self) -> None:
        self.calls: list[LedgerEntry] = []
        self.next_reply = Reply.ACCEPTED

    def accepted(self, message_id: int) -> int:
        return sum(call.accepted for call in self.calls if call.message_id == message_id)


class GatedProvider:
    """Calls through the gates of a process: one at the start of a call, one at its answer."""

    def __init__(
        self, process: Process, ledger: Ledger, token_of: Callable[[int], str], called: Callable[[LedgerEntry], None]
    ) -> None:
        """
        Args:
            token_of: the claim that the process has of a message.
            called: told of each call at the moment of its start.
        """
        self._process = process
        self._ledger = ledger
        self._token_of = token_of
        self._called = called

    async def deliver(self, call: Call) -> Answer:
        async def start() -> Answer:
            if call.start_within_s() <= 0:
                return Answer(None, None, None, started=False, written=False, latency_ms=None)
            reply = self._ledger.next_reply
            if reply is Reply.UNREACHABLE:
                return Answer(None, None, "refused", started=True, written=False, latency_ms=None)
            entry = LedgerEntry(
                call.message_id,
                self._process.name,
                self._token_of(call.message_id),
                self._process.clock.now(),
                reply in ACCEPTING,
            )
            self._ledger.calls.append(entry)
            self._called(entry)
            return _answer(reply)

        answer: Answer = await self._process.gate(f"call {call.message_id}", start, kind="provider")
        if not answer.started or not answer.written:
            return answer

        async def hear() -> Answer:
            return answer

        return await self._process.gate(f"answer {call.message_id}", hear, kind="answer")  # type: ignore[no-any-return]


def _answer(reply: Reply) -> Answer:
    status, body = {
        Reply.ACCEPTED: (200, b'{"code": 0}'),
        Reply.REFUSED: (500, b""),
        Reply.PERMANENT: (400, b""),
    }.get(reply, (None, None))
    return Answer(status, body, None, started=True, written=True, latency_ms=5)
