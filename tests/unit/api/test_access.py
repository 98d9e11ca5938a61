"""Access: request ids, HEAD, and an answer whatever happens inside."""

import httpx
import pytest
import structlog
from starlette.types import Receive, Scope, Send

from services.api.access import Access, accepted_request_id


@pytest.mark.parametrize("given", ["a", "r-1", "!" * 128, "0af7651916cd43dd8448eb211c80319c"])
def test_a_printable_request_id_is_kept(given: str) -> None:
    assert accepted_request_id([(b"other", b"x"), (b"x-request-id", given.encode())]) == given


@pytest.mark.parametrize("given", [b"", b" ", b"a b", b"a" * 129, b"\xff", b"a\nb", b"a\0"])
def test_any_other_request_id_is_replaced(given: bytes) -> None:
    assert accepted_request_id([(b"x-request-id", given)]) is None


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the request id that logs would carry, under the method it was asked with."""
    body = f"{scope['method']} {structlog.contextvars.get_contextvars()['request_id']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("secret")


def client(inside: object) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Access(inside))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://api")


async def test_the_request_id_is_in_the_answer_and_in_every_line_that_is_logged() -> None:
    async with client(echo) as api:
        answer = await api.get("/", headers={"X-Request-ID": "r-1"})
        assert (answer.headers["x-request-id"], answer.text) == ("r-1", "GET r-1")
        made = (await api.get("/", headers={"X-Request-ID": "a b"})).headers["x-request-id"]
        assert len(made) == 32
        assert (await api.get("/")).headers["x-request-id"] != made
    assert "request_id" not in structlog.contextvars.get_contextvars()


async def test_head_is_get_without_its_body() -> None:
    async with client(echo) as api:
        head = await api.head("/", headers={"X-Request-ID": "r"})
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len("GET r")))


async def test_an_error_that_nobody_foresaw_is_a_problem_that_tells_nothing() -> None:
    async with client(fail) as api:
        answer = await api.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text
