"""ETags: a strong tag of the state of a resource, and the preconditions that name it (RFC 9110, 13.1)."""

import hashlib
import re
from collections.abc import Sequence

import orjson
from fastapi import Request, Response
from pydantic import BaseModel
from starlette.responses import Response as PlainResponse

from services.api.problems import Refusal

ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def etag(*state: object) -> str:
    """The tag of a state: equal states have equal tags."""
    return f'"{hashlib.sha256(orjson.dumps(state, default=str)).hexdigest()[:32]}"'


def check_if_match(request: Request, tag: str) -> None:
    """Whether the resource is what the request expects to change.

    Raises:
        Refusal: 412, there is an If-Match and it does not name the tag.
    """
    wanted = request.headers.getlist("if-match")
    if wanted and not _names(wanted, tag, weak=False):
        raise Refusal(412, "precondition_failed", "the resource is not what If-Match names")


def is_conditional(request: Request) -> bool:
    """Whether the request has an If-Match."""
    return "if-match" in request.headers


def answer_unless_known(request: Request, view: BaseModel, tag: str) -> Response:
    """The resource with its tag; 304 without it when If-None-Match names the tag."""
    known = request.headers.getlist("if-none-match")
    headers = {"ETag": tag}
    if known and _names(known, tag, weak=True):
        return PlainResponse(status_code=304, headers=headers)
    return json_answer(view, headers=headers)


def json_answer(view: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A view as a response."""
    return PlainResponse(view.model_dump_json(), status, headers, "application/json")


def _names(fields: Sequence[str], tag: str, *, weak: bool) -> bool:
    value = ",".join(fields).strip()
    if value == "*":
        return True
    tags = ENTITY_TAG.findall(value)
    return tag in ([one.removeprefix("W/") for one in tags] if weak else tags)
