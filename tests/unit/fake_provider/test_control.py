"""Control over HTTP: what is asked wrongly is refused clearly."""

import aiohttp
import pytest

from tests.unit.fake_provider.running import read_entries, read_summary, send, set_faults


async def test_faults_are_shown_as_set_with_their_defaults(session: aiohttp.ClientSession) -> None:
    await set_faults(session, {"kind": "reset", "probability": 0.25}, seed=9)
    async with session.get("/faults") as response:
        shown = await response.json()
    assert shown == {
        "seed": 9,
        "latency_s": 0.0,
        "faults": [{"kind": "reset", "probability": 0.25, "accepts": 0.5}],
    }
    async with session.put("/faults", json=shown) as response:
        assert await response.json() == shown


async def test_a_wrong_document_is_422_with_pointers_and_changes_nothing(session: aiohttp.ClientSession) -> None:
    await set_faults(session, seed=3)
    wrong = {"seed": 4, "faults": [{"kind": "hang"}, {"kind": "slow", "delay_s": -1}], "extra": 1}
    async with session.put("/faults", json=wrong) as response:
        problem = await response.json()
        assert (response.status, response.content_type) == (422, "application/problem+json")
    assert {error["pointer"] for error in problem["errors"]} == {"/faults/1/delay_s", "/extra"}
    async with session.get("/faults") as response:
        assert (await response.json())["seed"] == 3


@pytest.mark.parametrize("body", [b"", b"{", b'{"seed": 1', b"\xff"])
async def test_a_document_that_is_no_json_is_400(session: aiohttp.ClientSession, body: bytes) -> None:
    async with session.put("/faults", data=body) as response:
        assert (response.status, (await response.json())["status"]) == (400, 400)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1"])
async def test_json_that_is_no_document_is_422(session: aiohttp.ClientSession, body: bytes) -> None:
    async with session.put("/faults", data=body) as response:
        assert response.status == 422


async def test_a_document_over_1_mib_is_413(session: aiohttp.ClientSession) -> None:
    async with session.put("/faults", data=b" " * 1_100_000) as response:
        assert response.status == 413


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10001",
        "limit=x",
        "limit=",
        "after=-1",
        "after=1.5",
        "after=٣",
        "phone=0",
        "message_id=9e3",
        f"message_id={2**63}",
        "cursor=1",
        "limit=1&limit=2",
    ],
)
async def test_a_wrong_question_to_the_ledger_is_422(session: aiohttp.ClientSession, query: str) -> None:
    async with session.get(f"/ledger?{query}") as response:
        assert response.status == 422, await response.text()
        assert query.split("=")[0] in (await response.json())["detail"]


async def test_the_ledger_is_read_in_pages(session: aiohttp.ClientSession) -> None:
    for number in range(5):
        await send(session, number % 2, phone=79000000000 + number)
    async with session.get("/ledger?limit=2&after=1") as response:
        page = await response.json()
    assert ([entry["number"] for entry in page["entries"]], page["next_after"]) == ([2, 3], 3)
    assert [entry["number"] for entry in await read_entries(session, "?message_id=1")] == [2, 4]
    assert [entry["number"] for entry in await read_entries(session, "?phone=79000000004")] == [5]
    async with session.get("/ledger?after=3") as response:
        assert (await response.json())["next_after"] is None


async def test_the_ledger_shows_100_entries_unless_asked_for_more(session: aiohttp.ClientSession) -> None:
    for number in range(101):
        await send(session, number)
    assert len(await read_entries(session)) == 100
    assert len(await read_entries(session, "?limit=10000")) == 101


async def test_the_ledger_is_cleared(session: aiohttp.ClientSession) -> None:
    await send(session, 1)
    async with session.delete("/ledger") as response:
        assert response.status == 204
    assert await read_summary(session) == {
        "calls": 0,
        "accepted": 0,
        "distinct_message_ids": 0,
        "distinct_accepted_message_ids": 0,
        "duplicates": 0,
        "duplicate_message_ids": [],
        "by_status": {},
        "by_fault": {},
        "first_call_at": None,
        "last_call_at": None,
        "in_flight": 0,
        "unrecorded": 0,
    }


async def test_it_is_alive(session: aiohttp.ClientSession) -> None:
    async with session.get("/health/live") as response:
        assert (response.status, await response.json()) == (200, {"status": "live"})
    async with session.head("/health/live") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/elsewhere", 404),
        ("POST", "/v1/send", 404),
        ("POST", "/faults", 405),
        ("PUT", "/ledger", 405),
        ("DELETE", "/v1/send/1", 405),
    ],
)
async def test_other_addresses_and_methods_are_refused(
    session: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    async with session.request(method, path) as response:
        assert response.status == status
        assert (status == 405) == ("Allow" in response.headers)
