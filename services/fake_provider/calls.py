"""One call from its arrival to its answer."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from hmac import compare_digest
from sys import intern

from aiohttp import ClientPayloadError, web

from services.fake_provider.answers import ACCEPTED, Answer, answer_problem
from services.fake_provider.choice import Decision, Ending, FaultPlan
from services.fake_provider.entry import Entry
from services.fake_provider.faults import MAX_WAIT_S
from services.fake_provider.incoming import MalformedRequest, SendRequest, read_message_id, read_send_request
from services.fake_provider.ledger import Ledger, LedgerRefusedError
from shared.runtime.clock import Clock

BODY_LIMIT_S = 30.0
"""Longest wait for the body of a call, seconds."""

CONNECTION_LOOK_S = 0.5
"""How often a call that waits looks whether its caller is still there, seconds."""

MAX_HEADERS_KEPT = 16
MAX_HEADER_CHARACTERS = 256

_HEADERS_OF_INTEREST = frozenset({"user-agent", "idempotency-key", "traceparent"})
_LINGER_ZERO = struct.pack("ii", 1, 0)


Refuser = Callable[[float], Awaitable[None]]
"""Closes the listening socket and all connections for so many seconds."""


class CallHandler:
    """Takes calls in, writes them into the ledger and answers them, as the plan of faults wants it."""

    def __init__(self, *, ledger: Ledger, plan: FaultPlan, token: str | None, clock: Clock, refuse: Refuser) -> None:
        """
        Args:
            token: bearer token that calls must carry; None for any or none.
        """
        self._ledger = ledger
        self._plan = plan
        self._authorization = None if token is None else f"Bearer {token}".encode()
        self._clock = clock
        self._refuse = refuse
        self.in_flight = 0
        """Calls that wait for their delayed answer, or hang."""

    async def handle_call(self, request: web.BaseRequest, raw_message_id: str) -> web.StreamResponse:
        """Answer one `POST /v1/send/{msgId}`."""
        arrived_at = self._clock.now()
        incoming, problem_status = await self._take_in(request, raw_message_id)
        if problem_status is None and isinstance(incoming, SendRequest):
            decision = self._plan.decide(
                incoming,
                nth_call=self._ledger.count_calls(incoming.message_id) + 1,
                at_s=arrived_at.timestamp(),
            )
        else:
            decision = self._refuse_call(incoming, problem_status or 400)

        # Written before it is answered: whoever has the answer finds the call in the ledger.
        answer = decision.answer or ACCEPTED
        at_once = decision.wait_s == 0 and decision.ending is Ending.ANSWER and _is_connected(request)
        try:
            entry = self._ledger.record(
                message_id=incoming.message_id,
                phone=incoming.phone,
                text=incoming.text,
                arrived_at=arrived_at,
                accepted=decision.accepted,
                fault=decision.fault,
                detail=decision.detail,
                headers=_headers_of_interest(request),
                answered_at=self._clock.now() if at_once else None,
                status=answer.status if at_once else None,
            )
        except LedgerRefusedError as error:
            return respond(answer_problem(503, str(error)))
        if not at_once:
            await self._end_later(request, decision, entry, answer)
        # Written to a connection that has been closed, a response vanishes.
        return respond(answer)

    async def _take_in(
        self, request: web.BaseRequest, raw_message_id: str
    ) -> tuple[SendRequest | MalformedRequest, int | None]:
        """The call, and the status that it deserves when it is not even to be looked at."""
        try:
            async with asyncio.timeout(BODY_LIMIT_S):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _unread(raw_message_id, "the body is too large"), 413
        except TimeoutError:
            return _unread(raw_message_id, f"the body took longer than {BODY_LIMIT_S:g} s"), 408
        except (web.RequestPayloadError, ClientPayloadError, ConnectionError) as error:
            return _unread(raw_message_id, f"the body cannot be read: {error}"), 400
        incoming = read_send_request(raw_message_id, body)
        if self._authorization is not None:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not compare_digest(given, self._authorization):
                return incoming, 401
        return incoming, None

    def _refuse_call(self, incoming: SendRequest | MalformedRequest, status: int) -> Decision:
        if status == 401:
            problem = "the bearer token is missing or wrong"
        else:
            problem = incoming.problem if isinstance(incoming, MalformedRequest) else ""
        return Decision(
            accepted=False,
            detail=problem,
            wait_s=self._plan.document.latency_s,
            answer=answer_problem(status, problem),
        )

    async def _end_later(self, request: web.BaseRequest, decision: Decision, entry: Entry, answer: Answer) -> None:
        self.in_flight += 1
        try:
            if not await _stay(request, decision.wait_s):
                return
            match decision.ending:
                case Ending.ANSWER:
                    self._record_answer(request, entry, answer)
                case Ending.HANG:
                    if await _stay(request, MAX_WAIT_S) and request.transport is not None:
                        request.transport.abort()
                case Ending.RESET:
                    _reset(request)
                case Ending.REFUSE:
                    await self._refuse(decision.refuse_s)
        finally:
            self.in_flight -= 1

    def _record_answer(self, request: web.BaseRequest, entry: Entry, answer: Answer) -> None:
        try:
            self._ledger.record_answer(entry, status=answer.status, answered_at=self._clock.now())
        except LedgerRefusedError:
            # The ledger goes on saying "unanswered", so unanswered it is.
            if request.transport is not None:
                request.transport.abort()


def respond(answer: Answer) -> web.Response:
    """An answer as aiohttp wants it."""
    response = web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)
    for name, value in answer.headers:
        response.headers[name] = value
    return response


async def _stay(request: web.BaseRequest, wait_s: float) -> bool:
    """Wait, but not for a caller who has left; whether the caller is still there."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while (remaining_s := until - loop.time()) > 0:
        await asyncio.sleep(min(remaining_s, CONNECTION_LOOK_S))
        if not _is_connected(request):
            return False
    return _is_connected(request)


def _is_connected(request: web.BaseRequest) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _reset(request: web.BaseRequest) -> None:
    """Close the connection so that the peer gets an RST: a linger time of zero. Source: socket(7)."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()


def _unread(raw_message_id: str, problem: str) -> MalformedRequest:
    return MalformedRequest(read_message_id(raw_message_id), None, None, problem)


def _headers_of_interest(request: web.BaseRequest) -> tuple[tuple[str, str], ...]:
    kept: list[tuple[str, str]] = []
    for name, value in request.headers.items():
        lower_name = name.lower()
        if lower_name in _HEADERS_OF_INTEREST or lower_name.startswith("x-"):
            # One string for the user agent of all calls, not one for each.
            kept.append((intern(lower_name), intern(value[:MAX_HEADER_CHARACTERS])))
    return tuple(kept[:MAX_HEADERS_KEPT])
