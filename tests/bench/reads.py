"""Reads: statistics and pages at many messages beside the store's own answers, and the API under load."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pymongo
import uvloop

from shared.domain.message import Outcome
from shared.store.message_documents import Attempt
from tests.bench.figures import Figure, percentile
from tests.bench.places import Places, run_program
from tests.bench.running import Running, running

MAILING = 1
PAGE = 50
READS = 11
CONNECTIONS = 16
FRESH_S = 1.1  # statistics of a running mailing are kept for a second; the store's own are asked for as seldom


async def statistics_and_pages(places: Places, *, count: int) -> dict[str, Figure]:
    """Each answer of the API in milliseconds, and beside it the store's own, at `count` messages of one mailing."""
    async with running(places, "api", clients=1) as system:
        await system.planting.messages(MAILING, count, **as_sent())
        last_cursor = await to_last(system)
        figures = {
            "statistics of a running mailing": await timed(
                lambda: system.ask("GET", f"/statistics/{MAILING}"), between_s=FRESH_S
            ),
            "the store's group by status": await timed(
                lambda: asyncio.to_thread(group_by_status, system), between_s=FRESH_S
            ),
            "page, the first": await timed(lambda: page(system, "")),
            "page, the last": await timed(lambda: page(system, last_cursor)),
            "the store's page": await timed(lambda: asyncio.to_thread(store_page, system)),
        }
        await system.planting.complete(MAILING)
        figures["statistics of a completed mailing"] = await timed(lambda: system.ask("GET", f"/statistics/{MAILING}"))
        return figures


async def api_under_load(places: Places, *, count: int) -> dict[str, Figure]:
    """Requests per second and p99 of the common calls, 16 connections, one API process."""
    figures: dict[str, Figure] = {}
    async with running(places, "api", clients=1_000) as system:
        await system.planting.messages(MAILING, 1_000, **as_sent())
        root = f"http://127.0.0.1:{system.environment['API_PORT']}"
        for name, method, path in (
            ("POST /clients", "POST", "/clients"),
            ("GET /clients/{id}", "GET", "/clients/1"),
            ("GET /mailings/{id}", "GET", f"/mailings/{MAILING}"),
            ("GET /mailings/{id}/messages", "GET", f"/mailings/{MAILING}/messages"),
            ("GET /messages/{id}", "GET", "/messages/1"),
        ):
            told = await run_program("tests.bench.reads", method, f"{root}/api/v1{path}", str(count))
            figures[f"{name}, rate"] = Figure(told["per_s"])
            figures[f"{name}, p99"] = Figure(told["p99_ms"], "ms")
    return figures


def as_sent() -> dict[str, Any]:
    """What a message has that was accepted at once."""
    at = datetime.now(UTC)
    accepted = Attempt(at, Outcome.ACCEPTED, http_status=200, latency_ms=12).to_document()
    return {"status": "sent", "attempt": 1, "due_at": None, "sent_at": at, "revision": 1, "attempts": [accepted]}


async def timed(act: Callable[[], Awaitable[Any]], *, between_s: float = 0.0) -> Figure:
    """The median of some calls, milliseconds, the first (a connection, a cold cache) left out."""
    await act()
    took_ms: list[float] = []
    for _ in range(READS):
        await asyncio.sleep(between_s)
        began_s = time.monotonic()
        await act()
        took_ms.append((time.monotonic() - began_s) * 1_000)
    return Figure(percentile(took_ms, 0.5), "ms")


async def page(system: Running, cursor: str) -> dict[str, Any]:
    after = f"&cursor={cursor}" if cursor else ""
    return dict(await system.ask("GET", f"/mailings/{MAILING}/messages?limit={PAGE}{after}"))


async def to_last(system: Running) -> str:
    """The cursor of the last page, page by page."""
    cursor, last = "", ""
    while True:
        after = f"&cursor={cursor}" if cursor else ""
        found = await system.ask("GET", f"/mailings/{MAILING}/messages?limit=500{after}")
        if found["next_cursor"] is None:
            return last
        last = cursor = found["next_cursor"]


def group_by_status(system: Running) -> None:
    stages = [{"$match": {"mailing_id": MAILING}}, {"$group": {"_id": "$status", "count": {"$sum": 1}}}]
    with pymongo.MongoClient(system.places.mongo_url) as gateway:
        list(system.planting.database(gateway)["messages"].aggregate(stages))


def store_page(system: Running) -> None:
    with pymongo.MongoClient(system.places.mongo_url) as gateway:
        found = system.planting.database(gateway)["messages"].find({"mailing_id": MAILING, "_id": {"$gt": 0}})
        list(found.sort("_id", 1).limit(PAGE))


async def load(method: str, url: str, count: int) -> dict[str, float]:
    """Requests over 16 connections, each with a body of its own where it is a POST."""
    took_s: list[float] = []
    left = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:

        async def work() -> None:
            for at in left:
                body = {"phone": f"7{9_500_000_000 + at}"} if method == "POST" else None
                began_s = time.monotonic()
                async with http.request(method, url, json=body) as answer:
                    await answer.read()
                    answer.raise_for_status()
                took_s.append(time.monotonic() - began_s)

        began_s = time.monotonic()
        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return {"per_s": count / (time.monotonic() - began_s), "p99_ms": percentile(took_s, 0.99) * 1_000}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(load(sys.argv[1], sys.argv[2], int(sys.argv[3])))) + "\n")
