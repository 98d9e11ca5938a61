"""Access: the outermost layer. Each request gets its id, one wide log line, and an answer whatever happens inside."""

import logging
import re
import time
import uuid
from collections.abc import Iterable
from http import HTTPStatus

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.identifiers import DIGITS
from services.api.problems import Refusal, problem_response

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
HEADER = b"x-request-id"

log = structlog.get_logger()


class Access:
    """ASGI middleware: `X-Request-ID` in and out, the log line `request.answered`, HEAD as GET without its body."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request_id = accepted_request_id(scope["headers"]) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._answer(scope, receive, send, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started_s = time.perf_counter()
        is_head = scope["method"] == "HEAD"
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], (HEADER, request_id.encode())]}
            elif message["type"] == "http.response.body" and is_head:
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET"} if is_head else scope
        try:
            await self._application(inner, receive, send_on)
        except Exception:
            log.exception("request.failed", method=scope["method"], path=_template(inner))
            if status:
                raise
            refusal = Refusal(500, "internal_error", "an error of the service; the request id finds it in the logs")
            await problem_response(scope, refusal)(inner, receive, send_on)
        finally:
            path = _template(inner)
            healthy = path.startswith("/health/") and status < HTTPStatus.BAD_REQUEST  # every few seconds, for ever
            log.log(
                logging.DEBUG if healthy else logging.INFO,
                "request.answered",
                method=scope["method"],
                path=path,
                status=status,
                duration_ms=round((time.perf_counter() - started_s) * 1_000, 1),
                **_ids(inner),
            )


def accepted_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The request id that the client gave, if it can stand in a header and in a log line."""
    for name, value in headers:
        if name == HEADER:
            given = value.decode("latin-1")
            return given if REQUEST_ID.fullmatch(given) else None
    return None


def _template(scope: Scope) -> str:
    """The path as it is declared, so that lines about different clients can be counted together."""
    return getattr(scope.get("route"), "path", None) or "other"


def _ids(scope: Scope) -> dict[str, int]:
    """The ids in the path, under the names that logs know them by."""
    given: dict[str, str] = scope.get("path_params", {})
    return {name: int(value) for name, value in given.items() if name.endswith("_id") and DIGITS.fullmatch(value)}


def current_request_id() -> str | None:
    """The id of the request that is being answered; None outside of any."""
    request_id: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return request_id
