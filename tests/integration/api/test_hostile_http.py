"""Hostile HTTP: methods, paths, headers and bytes that make no sense. Always a 4xx problem document, never a 5xx."""

import asyncio
import socket

import httpx
import pytest

from tests.integration.api.hostile import OPERATIONS, assert_refused
from tests.integration.api.running import assert_problem


async def test_methods_that_a_path_does_not_know(api: httpx.AsyncClient, ids: dict[str, int]) -> None:
    by_path: dict[str, set[str]] = {}
    for method, path in OPERATIONS:
        by_path.setdefault(path, {"OPTIONS"}).update({method} | ({"HEAD"} if method == "GET" else set()))
    for path, allowed in by_path.items():
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"):
            if method not in allowed:
                answer = await api.request(method, path.format(**ids))
                assert answer.status_code == 405, (method, path)
                assert set(answer.headers["allow"].split(", ")) == allowed
        options = await api.request("OPTIONS", path.format(**ids))
        assert (options.status_code, set(options.headers["allow"].split(", "))) == (204, allowed)


async def test_paths_that_lead_nowhere(api: httpx.AsyncClient) -> None:
    paths = ["/", "/nope", "/api", "/api/v1", "/api/v1/", "/api/v1/clients/", "//api/v1/clients", "/api/v2/clients"]
    paths += ["/%00", "/%ff", "/" + "a" * 20_000, "/api/v1/mailings/1/explode", "/docs/assets/nope", "/docs/assets/%00"]
    paths += ["/docs/assets/..%2f..%2fcore.py", "/docs/assets/" + "a" * 5_000, "/docs/assets/"]
    for path in paths:
        assert_refused(await api.get(path), 404)
        assert_refused(await api.post(path, content=b"x" * 1_000), 404, 405)


async def test_headers_that_make_no_sense_are_refused_or_ignored(api: httpx.AsyncClient, ids: dict[str, int]) -> None:
    path = f"/api/v1/clients/{ids['client_id']}"
    for value in (b"\xff\xfe", b'"', b"W/", b"*" * 10_000, b", ,", b'"a" "b"'):
        answer = await api.patch(path, json={"tags": []}, headers=[("If-Match", value)])
        assert_problem(answer, 412, "precondition_failed")
        assert (await api.get(path, headers=[("If-None-Match", value)])).status_code == 200
        answer = await api.get(path, headers=[("X-Request-ID", value), ("Accept", value), ("Cookie", value)])
        assert answer.status_code == 200
    assert (await api.get(path, headers={"X-Request-ID": "mine"})).headers["x-request-id"] == "mine"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 200_000 + b"\r\n", 431),
        (b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
        (b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", 400),
        (b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ],
)
async def test_what_is_no_http_gets_a_problem_too(api: httpx.AsyncClient, sent: bytes, status: int) -> None:
    def talk() -> bytes:
        with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=10) as connection:
            connection.sendall(sent)
            received = b""
            try:
                while chunk := connection.recv(65_536):
                    received += chunk
            except ConnectionResetError:
                pass  # what was sent was not read to its end
            return received

    head, _, body = (await asyncio.to_thread(talk)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status), head
    assert b"content-type: application/problem+json" in head
    assert b'"status":%d' % status in body


async def test_a_body_that_breaks_off_harms_nobody(api: httpx.AsyncClient) -> None:
    head = b"POST /api/v1/clients HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    _, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(head)
    await writer.drain()
    writer.transport.abort()
    assert (await api.get("/health/live")).status_code == 200
