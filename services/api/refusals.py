"""Refusals: which problem each error becomes. The one place where errors of the inside meet HTTP."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from services.api.problems import MAX_ERRORS, Flaw, Refusal, invalid, pointer_to, problem_response
from shared.errors import Conflict, InvalidInput, NotFound, StoreUnavailable

RETRY_AFTER_S = 1
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
CODES = {
    HTTPStatus.BAD_REQUEST: "malformed_request",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
}


def answer_refusals(application: FastAPI) -> None:
    """Have every error answered with a problem."""
    for error in (HTTPException, RequestValidationError, InvalidInput, NotFound, Conflict, StoreUnavailable):
        application.add_exception_handler(error, _answer)


def refusal_of(error: Exception) -> Refusal:
    """What an error is to whoever made the request."""
    match error:
        case Refusal():
            return error
        case RequestValidationError():
            return refusal_of_validation(error.errors())
        case InvalidInput():
            return invalid("/" + error.field, error.message)
        case NotFound():
            return Refusal(404, f"{error.resource}_not_found", f"there is no {error.resource} {error.resource_id}")
        case Conflict():
            return Refusal(409, error.code, error.message)
        case StoreUnavailable():
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            return Refusal(503, "store_unavailable", "the store cannot be reached, try again", headers=headers)
        case HTTPException():
            code = CODES.get(HTTPStatus(error.status_code), "refused")
            return Refusal(error.status_code, code, str(error.detail), headers=error.headers)
    return Refusal(500, "internal_error", "an error of the service; the request id finds it in the logs")


def refusal_of_validation(errors: Sequence[Any], *, place: str | None = None) -> Refusal:
    """What pydantic's list of errors is to whoever made the request.

    Args:
        place: "body" when the errors are of a body alone; None when each one begins with its place.
    """
    flaws = []
    for one in errors[:MAX_ERRORS]:
        where, *path = (place, *one["loc"]) if place else one["loc"]
        if where == "path":  # an id that cannot exist names nothing
            return Refusal(404, "not_found", "there is nothing under this path")
        flaws.append(Flaw(pointer_to(path[:1] if where == "query" else path), _message(one)))
    summary = "; ".join(f"{flaw.pointer or 'the body'}: {flaw.message}" for flaw in flaws[:3])
    return Refusal(422, "validation_failed", summary, flaws=flaws)


def allowed_methods(request: Request) -> list[str]:
    """The methods that the path of a request knows."""
    allowed = set()
    for method in METHODS:
        probe = {**request.scope, "method": method}
        if any(route.matches(probe)[0] is Match.FULL for route in request.app.router.routes):
            allowed.add(method)
    if "GET" in allowed:
        allowed.add("HEAD")
    return sorted(allowed | {"OPTIONS"})


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allow = {"Allow": ", ".join(allowed_methods(request))}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        refusal = Refusal(405, "method_not_allowed", f"{request.method} is not for this path", headers=allow)
    else:
        refusal = refusal_of(error)
    return problem_response(request.scope, refusal)


def _message(error: dict[str, Any]) -> str:
    """What is wrong, in words that say nothing of the library."""
    match error["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a known field"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
    message = str(error["msg"])
    return message[:1].lower() + message[1:]
