"""An API at work in this process, wired as its own `__main__` wires it, over a real socket."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
from pydantic import MongoDsn

from services.api.__main__ import run
from services.api.server import listen
from shared.runtime.settings import Settings
from tests.support.eventually import eventually

PROBLEM = "application/problem+json"
_phones = count(secrets.randbelow(900_000_000))


@asynccontextmanager
async def running_api(
    amqp_url: str, mongo_url: str, database: str, *, wait_until_ready: bool = True, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API; it is stopped afterwards."""
    wired = Settings(amqp_url=amqp_url, mongo_url=MongoDsn(mongo_url), mongo_database=database, **settings)
    listening = listen("127.0.0.1", 0)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stop = asyncio.Event()
    serving = asyncio.create_task(run(wired, listening, stop))
    try:
        async with httpx.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
            if wait_until_ready:
                await eventually(lambda: is_ready(client), "the API ready")
            yield client
    finally:
        stop.set()
        await serving


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200


def new_phone() -> str:
    """A phone that no other client of this session has."""
    return f"79{next(_phones) % 1_000_000_000:09}"


async def new_client(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A client, created."""
    answer = await api.post("/api/v1/clients", json={"phone": new_phone()} | fields)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def new_mailing(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """A mailing, created."""
    body = {"name": "Spring", "text": "Hello", "audience": {"tags": ["nobody"]}} | fields
    answer = await api.post("/api/v1/mailings", json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def assert_problem(answer: httpx.Response, status: int, code: str, pointer: str | None = None) -> dict[str, Any]:
    """The problem document of an answer, which is one in every respect."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code), problem
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["instance"] == answer.request.url.path
    assert problem["type"]
    assert problem["title"]
    assert problem["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in problem["errors"]], problem
    return problem


async def all_items(api: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, Any]]:
    """The items of all pages of a list; no page is longer than was asked for."""
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = await api.get(path, params=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= query.get("limit", 50)
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        assert page["items"], "a page that is not the last holds something"
