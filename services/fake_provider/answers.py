"""What is answered: statuses, headers and bodies, as data; pure."""

from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from functools import cache
from http import HTTPStatus

import orjson

HUGE_BODY_BYTES = 10 * 1024 * 1024

_JSON = "application/json"
_HTML = "text/html"
_HTML_PAGE = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head>"
    b"<body><h1>Welcome to our network</h1><p>Please sign in to go on.</p></body></html>"
)


class GarbageBody(StrEnum):
    """The bodies of a 200 that say nothing about what became of the message."""

    HTML = "html"
    HTML_AS_JSON = "html_as_json"
    TRUNCATED_JSON = "truncated_json"
    EMPTY = "empty"
    WRONG_SCHEMA = "wrong_schema"
    CODE_AS_STRING = "code_as_string"
    CODE_AS_TRUE = "code_as_true"
    HUGE = "huge"
    INVALID_UTF8 = "invalid_utf8"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    body: bytes
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()


ACCEPTED = Answer(200, b'{"code":0,"message":"OK"}')


def answer_problem(status: int, problem: str) -> Answer:
    """What a sound provider answers to a call that is wrong: the status again as the code, and why."""
    return Answer(status, orjson.dumps({"code": status, "message": problem}))


def answer_status(
    status: int, *, retry_after_s: int | None, retry_after_date: bool, body_bytes: int, at_s: float
) -> Answer:
    """A bare status.

    Args:
        retry_after_s: value of `Retry-After`, seconds; None for none.
        retry_after_date: write it as a date; both forms are allowed. Source: RFC 9110, 10.2.3.
        body_bytes: pad the body with spaces, which are still JSON, to at least this length.
        at_s: now, seconds of the epoch; the date counts from it.
    """
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unnamed"
    headers: tuple[tuple[str, str], ...] = ()
    if retry_after_s is not None:
        value = formatdate(at_s + retry_after_s, usegmt=True) if retry_after_date else str(retry_after_s)
        headers = (("Retry-After", value),)
    body = orjson.dumps({"code": status, "message": phrase}).ljust(body_bytes)
    return Answer(status, body, headers=headers)


def answer_refusal(code: int, message: str) -> Answer:
    """The provider's protocol for: I will not send this."""
    return Answer(200, orjson.dumps({"code": code, "message": message}))


def answer_redirect(status: int, location: str) -> Answer:
    """Sent elsewhere."""
    return Answer(status, b"", headers=(("Location", location),))


@cache
def answer_garbage(body: GarbageBody) -> Answer:
    """A 200 whose body is not the protocol's."""
    match body:
        case GarbageBody.HTML:
            return Answer(200, _HTML_PAGE, _HTML)
        case GarbageBody.HTML_AS_JSON:
            return Answer(200, _HTML_PAGE)
        case GarbageBody.TRUNCATED_JSON:
            return Answer(200, b'{"code": 0, "mess')
        case GarbageBody.EMPTY:
            return Answer(200, b"")
        case GarbageBody.WRONG_SCHEMA:
            return Answer(200, b'{"status": "accepted", "result": [0]}')
        case GarbageBody.CODE_AS_STRING:
            return Answer(200, b'{"code": "0", "message": "OK"}')
        case GarbageBody.CODE_AS_TRUE:
            return Answer(200, b'{"code": true, "message": "OK"}')
        case GarbageBody.HUGE:
            return Answer(200, bytes(HUGE_BODY_BYTES), "application/octet-stream")
        case GarbageBody.INVALID_UTF8:
            return Answer(200, b'{"code": 0, "message": "\xff\xfe\xc3("}')
