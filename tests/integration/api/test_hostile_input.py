"""Hostile input, for every operation of the API: always a 4xx problem document, never a 5xx."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.api.identifiers import LARGEST_ID
from tests.integration.api.hostile import OPERATIONS, assert_refused
from tests.integration.api.running import assert_problem, new_client, new_mailing, new_phone

WITH_ID = [one for one in OPERATIONS if "{" in one[1]]
WITH_BODY = [one for one in OPERATIONS if one[0] in ("POST", "PATCH")]
LISTS = [
    ("GET", "/api/v1/clients"),
    ("GET", "/api/v1/clients/{client_id}/messages"),
    ("GET", "/api/v1/mailings"),
    ("GET", "/api/v1/mailings/{mailing_id}/messages"),
    ("GET", "/api/v1/mailings/{mailing_id}/revisions"),
    ("GET", "/api/v1/statistics"),
    ("GET", "/api/v1/dead-letters"),
]
JSON = {"content-type": "application/json"}

STRANGE_IDS = ["0", "-1", "+1", "01", "1.0", "1e3", "abc", "%00", "1%00", "%ff", "%ED%A0%80", "٣", "%20", "1%20"]
STRANGE_IDS += [str(LARGEST_ID + 1), "9" * 30, "9" * 5_000, "null", "$gt", "..%2f..", "%F0%9F%98%80"]

MALFORMED = [
    b"",
    b"{",
    b"}",
    b"nonsense",
    b"\x00",
    b"\xff\xfe",
    b'{"text": "\xed\xa0\x80"}',
    b'{"text": "\\ud800"}',
    b'{"\\udc00": 1}',
    b'{"text": NaN}',
    b'{"rate_per_s": Infinity}',
    b'{"rate_per_s": -Infinity}',
    b'{"rate_per_s": 1e999}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 50_000 + b"]" * 50_000,
    b'{"text": "x"} trailing',
    b"\xef\xbb\xbf{}",
    b"{'text': 'x'}",
]
WRONG_DOCUMENTS = [
    b"null",
    b"true",
    b"0",
    b"1e308",
    b'""',
    b"[]",
    b"[{}]",
    b'{"": 1}',
    b'{"unknown": 1}',
    b'{"$where": "1"}',
    b'{"__proto__": {}}',
    b'{"a\\u0000b": 1}',
    b'{"~/\\"": 1}',
    b'{"phone": {"$gt": ""}, "text": {"$gt": ""}, "reason": {"$gt": ""}}',
    b'{"phone": "7\\u0000", "text": "\\u0000", "reason": "\\u0000"}',
    b'{"phone": 1e400000, "text": 18446744073709551616, "reason": 99999999999999999999999999}'.replace(
        b"1e400000", b"1"
    ),
    b'{"tags": [' + b"1," * 200_000 + b'1], "audience": {"tags": [' + b"1," * 200_000 + b'1]}, "statuses": [1]}',
    b"{" + b",".join(b'"field%d": 1' % number for number in range(50_000)) + b"}",
]
STRANGE_QUERIES = [
    ("limit=0", "/limit"),
    ("limit=-1", "/limit"),
    ("limit=501", "/limit"),
    ("limit=abc", "/limit"),
    ("limit=", "/limit"),
    ("limit=1.0", "/limit"),
    ("limit=1e2", "/limit"),
    ("limit=%2B5", "/limit"),
    ("limit=%D9%A3", "/limit"),
    ("limit=" + "9" * 5_000, "/limit"),
    ("limit=%00", "/limit"),
    ("limit=1&limit=1", "/limit"),
    ("cursor=", "/cursor"),
    ("cursor=x", "/cursor"),
    ("cursor=%00", "/cursor"),
    ("cursor=%ff%fe", "/cursor"),
    ("cursor=e30", "/cursor"),  # {}
    ("cursor=bnVsbA", "/cursor"),  # null
    ("cursor=eyJpZCI6MH0", "/cursor"),  # {"id":0}
    ("cursor=eyJpZCI6OTIyMzM3MjAzNjg1NDc3NTgwOH0", "/cursor"),  # {"id":9223372036854775808}
    ("cursor=eyJpZCI6eyIkZ3QiOjB9fQ", "/cursor"),  # {"id":{"$gt":0}}
    ("cursor=" + "a" * 10_000, "/cursor"),
    ("cursor=a&cursor=b", "/cursor"),
    ("unknown=1", "/unknown"),
    ("limit%00=1", "/limit\0"),
    ("%24where=1", "/$where"),
    ("limit[$gt]=1", "/limit[$gt]"),
    ("&".join(f"p{number}=1" for number in range(2_000)), "/p0"),
]


@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_ids_that_cannot_be(api: httpx.AsyncClient, method: str, path: str) -> None:
    body: dict[str, Any] = {"json": {}} if (method, path) in WITH_BODY else {}
    for strange in STRANGE_IDS:
        answer = await api.request(method, re.sub(r"\{\w+\}", lambda _, text=strange: text, path), **body)
        assert_refused(answer, 404)


@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_ids_that_nothing_has(api: httpx.AsyncClient, method: str, path: str) -> None:
    body: dict[str, Any] = {"json": {}} if (method, path) in WITH_BODY else {}
    for unknown in (LARGEST_ID, LARGEST_ID - 1):
        assert_refused(await api.request(method, re.sub(r"\{\w+\}", str(unknown), path), **body), 404)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_bodies_that_are_no_json(api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str) -> None:
    for body in MALFORMED:
        if not body and path.count("/") == 5:
            continue  # an action may come without a body
        answer = await api.request(method, path.format(**ids), content=body, headers=JSON)
        assert_problem(answer, 400, "malformed_json")


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_json_that_is_no_such_document(
    api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str
) -> None:
    for body in WRONG_DOCUMENTS:
        assert_refused(await api.request(method, path.format(**ids), content=body, headers=JSON), 422)


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_bodies_of_another_kind(api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str) -> None:
    for kind in (
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "\xff",
        "",
    ):
        headers = [("content-type", kind.encode("latin-1"))]
        answer = await api.request(method, path.format(**ids), content=b"{}", headers=headers)
        assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("method", "path"), WITH_BODY)
async def test_bodies_that_are_too_large(
    api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str, chunked: bool
) -> None:
    large = b'{"text": "' + b"a" * 3_000_000 + b'"}'

    async def in_chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(large), 100_000):
            yield large[begin : begin + 100_000]

    content = in_chunks() if chunked else large
    answer = await api.request(method, path.format(**ids), content=content, headers=JSON)
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize(("method", "path"), LISTS)
async def test_queries_that_make_no_sense(api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str) -> None:
    for query, pointer in STRANGE_QUERIES:
        answer = await api.request(method, f"{path.format(**ids)}?{query}")
        assert_refused(answer, 422)
        assert pointer in [error["pointer"] for error in answer.json()["errors"]], (query, answer.text)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_queries_where_none_is_known(api: httpx.AsyncClient, ids: dict[str, int], method: str, path: str) -> None:
    answer = await api.request(method, f"{path.format(**ids)}?unknown=%00%ff")
    assert_problem(answer, 422, "validation_failed", "/unknown")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/clients", "phone=%00"),
        ("/api/v1/clients", "phone="),
        ("/api/v1/clients", "phone=" + "7" * 1_000),
        ("/api/v1/clients", "phone=1&phone=2"),
        ("/api/v1/clients", "tag=%00"),
        ("/api/v1/clients", "tag=a&tag=%00"),
        ("/api/v1/clients", "operator_code=%00"),
        ("/api/v1/clients", "opted_out=1"),
        ("/api/v1/clients", "opted_out=%00"),
        ("/api/v1/mailings", "name=%00"),
        ("/api/v1/mailings", "name=" + "a" * 1_000),
        ("/api/v1/mailings", "status=lost"),
        ("/api/v1/mailings", "status=draft&status=%00"),
        ("/api/v1/mailings", "start_from=2030-01-01"),
        ("/api/v1/mailings", "start_from=2030-01-01T00:00:00"),
        ("/api/v1/mailings", "start_from=2030-01-01T00:00:00+03:00"),  # the plus is a space here
        ("/api/v1/mailings", "start_to=0001-01-01T00:00:00%2B14:00"),
        ("/api/v1/mailings", "start_to=9999-12-31T23:59:59-14:00"),
        ("/api/v1/mailings/{mailing_id}/messages", "status=draft"),
        ("/api/v1/mailings/{mailing_id}/messages", f"client_id={LARGEST_ID + 1}"),
        ("/api/v1/mailings/{mailing_id}/messages", "client_id=" + "9" * 5_000),
    ],
)
async def test_filters_that_make_no_sense(api: httpx.AsyncClient, ids: dict[str, int], path: str, query: str) -> None:
    assert_refused(await api.get(f"{path.format(**ids)}?{query}"), 422)


async def test_text_that_is_strange_but_storable_comes_back_as_it_was(api: httpx.AsyncClient) -> None:
    strange = "𝕬​‮'\";--<script>$where\t{{}}\U0010ffff"
    client = await new_client(api, tags=[strange, "a.b", "$set"], attributes={"name": strange})
    assert (client["tags"], client["attributes"]) == ([strange, "a.b", "$set"], {"name": strange})
    listed = await api.get("/api/v1/clients", params={"tag": strange, "phone": client["phone"]})
    assert listed.json()["items"] == [client]
    mailing = await new_mailing(api, name=strange, text=strange, audience={"tags": [strange]})
    assert (mailing["name"], mailing["text"], mailing["audience"]["tags"]) == (strange, strange, [strange])


async def test_repeated_keys_of_an_object_are_read_as_the_last(api: httpx.AsyncClient) -> None:
    phone = new_phone()
    body = f'{{"phone": "1", "phone": "{phone}"}}'.encode()
    assert (await api.post("/api/v1/clients", content=body, headers=JSON)).json()["phone"] == phone
