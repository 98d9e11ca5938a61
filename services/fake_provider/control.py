"""The other side of the fake provider: faults, ledger and health, for tests and people.

GET, PUT /faults      the document of faults in force (see `faults`)
GET /ledger           entries after `after` (0), `limit` (100, at most 10,000), of a `message_id`, a `phone`
DELETE /ledger        forget all calls
GET /ledger/summary   the sums over them
GET /health/live      200
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import ClientPayloadError, web
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from services.fake_provider.choice import FaultPlan
from services.fake_provider.entry import entry_document
from services.fake_provider.faults import FaultDocument
from services.fake_provider.incoming import INT64_MAX, INT64_MIN, MAX_PHONE
from services.fake_provider.ledger import Ledger, LedgerRefusedError

DEFAULT_PAGE_ENTRIES = 100
MAX_PAGE_ENTRIES = 10_000

BODY_LIMIT_S = 30.0
"""Longest wait for the body of a request, seconds."""

MAX_ERRORS_SHOWN = 20

PARAMETER_BOUNDS = {
    "after": (0, INT64_MAX),
    "limit": (1, MAX_PAGE_ENTRIES),
    "message_id": (INT64_MIN, INT64_MAX),
    "phone": (1, MAX_PHONE),
}

_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)

Refuser = Callable[[float, web.BaseRequest], Awaitable[None]]
"""Closes the listening socket for so many seconds, and all connections but that of the request."""

_Act = Callable[[web.BaseRequest], Awaitable[web.Response]]


class ProblemError(Exception):
    """A request that cannot be done; answered with its status, and why."""

    def __init__(
        self, status: int, detail: str, *, errors: list[dict[str, str]] | None = None, allow: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.document = {"status": status, "detail": detail} | ({"errors": errors} if errors else {})
        self.headers = {"Allow": allow} if allow else {}


class ControlHandler:
    """Answers everything that is not a call."""

    def __init__(self, *, ledger: Ledger, plan: FaultPlan, count_in_flight: Callable[[], int], refuse: Refuser) -> None:
        self._ledger = ledger
        self._plan = plan
        self._count_in_flight = count_in_flight
        self._refuse = refuse
        self._acts: dict[str, dict[str, _Act]] = {
            "/faults": {"GET": self._show_faults, "PUT": self._set_faults},
            "/ledger": {"GET": self._show_ledger, "DELETE": self._clear_ledger},
            "/ledger/summary": {"GET": self._show_summary},
            "/health/live": {"GET": self._show_health},
        }

    async def handle_control(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; whatever is wrong with it is a problem document."""
        try:
            return await self._find_act(request)(request)
        except ProblemError as problem:
            return web.Response(
                status=problem.status,
                body=orjson.dumps(problem.document),
                content_type="application/problem+json",
                headers=problem.headers,
            )

    def _find_act(self, request: web.BaseRequest) -> _Act:
        path = request.path
        if path.startswith("/v1/send/"):
            raise ProblemError(405, "calls are sent by POST", allow="POST")
        acts = self._acts.get(path)
        if acts is None:
            raise ProblemError(404, "there is nothing at this address")
        act = acts.get("GET" if request.method == "HEAD" else request.method)
        if act is None:
            raise ProblemError(405, f"{path} knows {', '.join(acts)}", allow=", ".join(acts))
        return act

    async def _show_faults(self, _: web.BaseRequest) -> web.Response:
        return _respond(self._plan.document.model_dump(mode="json", exclude_none=True))

    async def _set_faults(self, request: web.BaseRequest) -> web.Response:
        body = await _read_body(request)
        try:
            document = FaultDocument.model_validate_json(body)
        except ValidationError as error:
            raise _problem_of(error) from error
        self._plan.replace(document)
        response = await self._show_faults(request)
        refuse_s = document.refuse_at_once_s()
        if refuse_s is not None:
            # Closed before the answer goes out: whoever has the answer finds the door shut.
            await self._refuse(refuse_s, request)
            response.force_close()
        return response

    async def _show_ledger(self, request: web.BaseRequest) -> web.Response:
        parameters = _read_parameters(request)
        entries, next_after = self._ledger.page(
            after=parameters.get("after", 0),
            limit=parameters.get("limit", DEFAULT_PAGE_ENTRIES),
            message_id=parameters.get("message_id"),
            phone=parameters.get("phone"),
        )
        return _respond({"entries": [entry_document(entry) for entry in entries], "next_after": next_after})

    async def _clear_ledger(self, _: web.BaseRequest) -> web.Response:
        try:
            self._ledger.clear()
        except LedgerRefusedError as error:
            raise ProblemError(503, str(error)) from error
        return web.Response(status=204)

    async def _show_summary(self, _: web.BaseRequest) -> web.Response:
        document = self._ledger.summary.as_document()
        document["in_flight"] = self._count_in_flight()
        document["unrecorded"] = self._ledger.unrecorded
        return _respond(document)

    async def _show_health(self, _: web.BaseRequest) -> web.Response:
        return _respond({"status": "live"})


def _respond(document: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(document, option=orjson.OPT_UTC_Z), content_type="application/json")


async def _read_body(request: web.BaseRequest) -> bytes:
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ProblemError(413, "the body is larger than 1 MiB") from error
    except TimeoutError as error:
        raise ProblemError(408, f"the body took longer than {BODY_LIMIT_S:g} s") from error
    except (web.RequestPayloadError, ClientPayloadError, ConnectionError) as error:
        raise ProblemError(400, "the body cannot be read") from error


def _read_parameters(request: web.BaseRequest) -> dict[str, int]:
    parameters: dict[str, int] = {}
    for name, raw in request.query.items():
        bounds = PARAMETER_BOUNDS.get(name)
        if bounds is None:
            raise ProblemError(422, f"there is no parameter {name}; known: {', '.join(PARAMETER_BOUNDS)}")
        if name in parameters:
            raise ProblemError(422, f"{name} is given twice")
        least, most = bounds
        if _INTEGER.fullmatch(raw) is None or not least <= int(raw) <= most:
            raise ProblemError(422, f"{name} must be an integer from {least} to {most}")
        parameters[name] = int(raw)
    return parameters


def _problem_of(error: ValidationError) -> ProblemError:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return ProblemError(400, f"the body is not JSON: {details[0]['msg']}")
    errors = [{"pointer": _pointer(detail), "message": detail["msg"]} for detail in details[:MAX_ERRORS_SHOWN]]
    first = errors[0]
    return ProblemError(422, f"{first['pointer'] or 'the document'}: {first['message']}", errors=errors)


def _pointer(detail: ErrorDetails) -> str:
    """Where in the body. Source: RFC 6901"""
    steps = [str(step) for step in detail["loc"]]
    if len(steps) > 2 and steps[0] == "faults":
        # pydantic names the kind of fault as a step, which the body does not have.
        del steps[2]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
