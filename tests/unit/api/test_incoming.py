"""Incoming requests: what of a body and of a query is let in. No socket: the ASGI messages are made here."""

import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive

from services.api.incoming import MAX_DISCARDED_BYTES, Incoming, check_media_type, check_query, parse_json
from services.api.problems import Refusal

LIMIT_BYTES = 100


def application() -> FastAPI:
    made = FastAPI()
    made.state.max_body_bytes = LIMIT_BYTES
    return made


def receiving(*chunks: bytes, ends: bool = True) -> Receive:
    """What a server hands over for a body in chunks; one that does not end is broken off."""
    messages: Iterator[Message] = iter(
        [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        + [{"type": "http.request"} if ends else {"type": "http.disconnect"}]
    )

    async def receive() -> Message:
        return next(messages)

    return receive


def request(
    *chunks: bytes, method: str = "POST", query: bytes = b"", content_type: str | None = None, ends: bool = True
) -> Incoming:
    headers = [(b"content-type", content_type.encode("latin-1"))] if content_type is not None else []
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "query_string": query,
        "headers": headers,
        "app": application(),
    }
    return Incoming(scope, receiving(*chunks, ends=ends))


def refusal_of(error: pytest.ExceptionInfo[Refusal]) -> tuple[int, str]:
    return error.value.status_code, error.value.code


async def test_a_body_of_the_largest_size_comes_whole_however_it_is_cut() -> None:
    assert await request(b"a" * 60, b"", b"b" * 40).body() == b"a" * 60 + b"b" * 40


@pytest.mark.parametrize("chunks", [(b"a" * 101,), (b"a",) * 101, (b"a" * 50, b"b" * 5_000_000)])
async def test_a_body_that_is_too_long_is_413_without_any_announcement_of_its_length(chunks: tuple[bytes]) -> None:
    with pytest.raises(Refusal) as refused:
        await request(*chunks).body()
    assert refusal_of(refused) == (413, "body_too_large")


async def test_a_body_without_end_is_read_up_to_a_bound() -> None:
    chunks = [b"a" * 1_000_000] * (MAX_DISCARDED_BYTES // 1_000_000 + 2)
    with pytest.raises(Refusal) as refused:
        await request(*chunks, ends=False).body()
    assert refusal_of(refused) == (413, "body_too_large")


async def test_a_body_that_breaks_off_is_400() -> None:
    with pytest.raises(Refusal) as refused:
        await request(b'{"a"', ends=False).body()
    assert refusal_of(refused) == (400, "body_incomplete")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{}{}",
        b'"\x00"',
    ],
)
def test_what_is_no_json_is_400(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        parse_json(body)
    assert refusal_of(refused) == (400, "malformed_json")


@given(st.recursive(st.none() | st.booleans() | st.text(st.characters(exclude_categories=["Cs"])), st.lists))
def test_json_is_read(document: object) -> None:
    assert parse_json(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    ("method", "content_type"),
    [
        ("POST", "application/json"),
        ("POST", "Application/JSON; charset=UTF-8"),
        ("POST", 'application/json; charset="utf-8"'),
        ("PATCH", "application/json"),
        ("PATCH", "application/merge-patch+json"),
    ],
)
def test_json_may_come_in(method: str, content_type: str) -> None:
    check_media_type(request(method=method, content_type=content_type))


@pytest.mark.parametrize(
    ("method", "content_type"),
    [
        ("POST", None),
        ("POST", ""),
        ("POST", "text/plain"),
        ("POST", "text/json"),
        ("POST", "application/merge-patch+json"),
        ("POST", "application/json; charset=utf-16"),
        ("POST", "application/json, text/plain"),
        ("POST", "\xff/\xfe"),
        ("POST", "multipart/form-data; boundary=x"),
        ("PATCH", "application/json-patch+json"),
    ],
)
def test_another_media_type_is_415(method: str, content_type: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        check_media_type(request(method=method, content_type=content_type))
    assert refusal_of(refused) == (415, "unsupported_media_type")


def test_parameters_that_are_unknown_or_given_twice_are_422_each_with_its_name() -> None:
    asked: Request = request(query=b"limit=1&limit=2&status=a&status=b&more=1&a~/b=1")
    with pytest.raises(Refusal) as refused:
        check_query(asked, {"limit": False, "status": True})
    assert refusal_of(refused) == (422, "validation_failed")
    assert {flaw.pointer for flaw in refused.value.flaws} == {"/limit", "/more", "/a~0~1b"}


def test_known_parameters_pass() -> None:
    check_query(request(query=b"limit=1&status=a&status=b"), {"limit": False, "status": True})
