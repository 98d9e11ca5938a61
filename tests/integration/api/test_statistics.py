"""Statistics over HTTP: the counts add up to the audience, in every answer."""

import asyncio
from typing import Any

import httpx
import pytest

from services.api import brief_cache, counts
from shared.domain.message import FAILED, QUEUED, SENT, UNKNOWN, MessageStatus
from shared.store.store import Store
from tests.integration.api.planned import EVERY_STATUS, complete, plan, running_mailing
from tests.support.eventually import eventually

STATISTICS = "/api/v1/statistics"
ONE_OF_EACH = {status.value: 1 for status in MessageStatus}
NONE = {status.value: 0 for status in MessageStatus}


async def overall(api: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await api.get(STATISTICS, params=query)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    for mailing in told["mailings"]:
        assert mailing["audience_size"] == sum(mailing["counts"].values())
    return told


async def test_one_mailing_is_told_in_full(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store, name="whole")
    await plan(store, mailing, EVERY_STATUS, reason="refused")
    answer = await api.get(f"{STATISTICS}/{mailing.id}")
    told = answer.json()
    assert told.pop("details_at") is not None, "it is open"
    assert told.pop("first_sent_at") == told.pop("last_sent_at") is not None
    assert [one["count"] for one in told.pop("sent_per_minute")] == [1]
    assert told == {
        "mailing_id": mailing.id,
        "name": "whole",
        "status": "running",
        "audience_size": 9,
        "counts": ONE_OF_EACH,
        "ambiguous": 1,
        "by_operator_code": {"900": ONE_OF_EACH},
        "by_tag": {"a.b/$c": ONE_OF_EACH, "vip": ONE_OF_EACH},
        "by_attempt": {"0": 4, "1": 5},
        "latency_ms": {"p50": 20.0, "p95": 20.0, "p99": 20.0},
        "failures": [{"reason": "refused", "count": 2}],
    }


async def test_of_a_large_mailing_the_counts_are_of_now_and_the_rest_is_of_a_while_ago(
    api: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a large mailing of which everything has been told
    monkeypatch.setattr(counts, "LARGE", 2)
    monkeypatch.setattr(brief_cache, "KEPT_LOADS", 1_000_000)
    mailing = await running_mailing(store)
    await plan(store, mailing, [SENT, SENT, FAILED], reason="refused")
    before = (await api.get(f"{STATISTICS}/{mailing.id}")).json()

    # When it goes on
    await plan(store, mailing, [SENT, FAILED], reason="refused")

    # Then the counts follow, and add up
    async def counted() -> dict[str, Any] | None:
        told: dict[str, Any] = (await api.get(f"{STATISTICS}/{mailing.id}")).json()
        return told if told["counts"]["sent"] == 3 else None

    told = await eventually(counted, "the counts follow")
    assert told is not None
    assert told["counts"] == NONE | {"sent": 3, "failed": 2}
    assert (told["audience_size"], told["by_operator_code"]) == (5, {"900": told["counts"]})

    # And the rest is that of before, and says so
    changing = ("counts", "audience_size", "by_operator_code")
    assert {name: value for name, value in told.items() if name not in changing} == {
        name: value for name, value in before.items() if name not in changing
    }


async def test_a_completed_mailing_is_told_as_it_was_frozen(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    ids = await plan(store, mailing, [SENT, SENT, FAILED])
    open_answer = (await api.get(f"{STATISTICS}/{mailing.id}")).json()
    await complete(store, mailing)
    frozen = (await api.get(f"{STATISTICS}/{mailing.id}")).json()
    assert open_answer["details_at"] is not None
    assert frozen == open_answer | {"status": "completed", "details_at": None}
    await store.messages._collection.delete_many({"_id": {"$in": ids}})
    assert (await api.get(f"{STATISTICS}/{mailing.id}")).json() == frozen
    assert (await api.get(f"/api/v1/mailings/{mailing.id}")).json()["counts"] == NONE | {"sent": 2, "failed": 1}


async def test_a_mailing_without_messages_has_counts_of_nothing(api: httpx.AsyncClient, store: Store) -> None:
    told = (await api.get(f"{STATISTICS}/{(await running_mailing(store)).id}")).json()
    assert (told["counts"], told["audience_size"], told["first_sent_at"]) == (NONE, 0, None)
    assert told["latency_ms"] == {"p50": None, "p95": None, "p99": None}


async def test_the_totals_are_those_of_all_mailings_wherever_the_page_is(api: httpx.AsyncClient, store: Store) -> None:
    # Given running, completed and deleted mailings
    running = [await running_mailing(store, name=f"running {n}") for n in range(3)]
    for mailing in running:
        await plan(store, mailing, [SENT, QUEUED, UNKNOWN])
    completed = await running_mailing(store, name="completed")
    await plan(store, completed, [SENT, UNKNOWN, FAILED])
    await complete(store, completed)
    deleted = await running_mailing(store, name="deleted")
    await plan(store, deleted, [SENT])
    await api.delete(f"/api/v1/mailings/{deleted.id}")
    # When all are asked for at once, and in pages of two
    whole = await overall(api, limit=500)
    pages = [await overall(api, limit=2)]
    while cursor := pages[-1]["next_cursor"]:
        pages.append(await overall(api, limit=2, cursor=cursor))
    # Then the pages hold the same, the youngest first, and every page tells the totals of all
    assert [one for page in pages for one in page["mailings"]] == whole["mailings"]
    ids = [one["mailing_id"] for one in whole["mailings"]]
    assert ids == sorted(ids, reverse=True)
    assert {mailing.id for mailing in (*running, completed)} <= set(ids)
    assert deleted.id not in ids
    summed = {status: sum(one["counts"][status] for one in whole["mailings"]) for status in NONE}
    assert whole["totals"] == summed
    assert [page["totals"] for page in pages] == [summed] * len(pages)
    ambiguous = sum(one["ambiguous"] for one in whole["mailings"])
    assert ambiguous >= 4, "three of running mailings, one that is frozen"
    assert [page["ambiguous"] for page in pages] == [ambiguous] * len(pages)


async def test_the_counts_add_up_in_every_answer_while_messages_move(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store, name="moving")
    stop = asyncio.Event()

    async def move() -> None:
        while not stop.is_set():
            await plan(store, mailing, [SENT, FAILED, QUEUED, UNKNOWN])

    moving = asyncio.create_task(move())
    try:
        for _ in range(15):
            whole = await overall(api, limit=500)
            assert whole["totals"] == {
                status: sum(one["counts"][status] for one in whole["mailings"]) for status in NONE
            }
            one = (await api.get(f"{STATISTICS}/{mailing.id}")).json()
            assert one["audience_size"] == sum(one["counts"].values())
            shown = (await api.get(f"/api/v1/mailings/{mailing.id}")).json()
            assert shown["audience_size"] == sum(shown["counts"].values())
    finally:
        stop.set()
        await moving
