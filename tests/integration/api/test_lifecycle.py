"""Launch, pause, resume and cancel over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from shared.domain.message import SENT, MessageStatus
from shared.store.store import Store
from tests.integration.api.planned import complete, plan, running_mailing
from tests.integration.api.running import assert_problem, new_mailing

MAILINGS = "/api/v1/mailings"


def soon(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**distance)).isoformat()


async def act(api: httpx.AsyncClient, mailing_id: int, action: str) -> httpx.Response:
    return await api.post(f"{MAILINGS}/{mailing_id}/{action}")


async def status_of(api: httpx.AsyncClient, mailing_id: int) -> str:
    return str((await api.get(f"{MAILINGS}/{mailing_id}")).json()["status"])


async def mailing_that_is(status: str, api: httpx.AsyncClient, store: Store) -> int:
    """The id of a mailing in this status, with an hour left."""
    if status == "running":
        return (await running_mailing(store)).id
    if status == "completed":
        mailing = await running_mailing(store)
        await complete(store, mailing)
        return mailing.id
    mailing_id = int((await new_mailing(api, start_at=soon(days=1), draft=status == "draft"))["id"])
    if status in ("paused", "cancelled"):
        await act(api, mailing_id, "pause" if status == "paused" else "cancel")
    assert await status_of(api, mailing_id) == status
    return mailing_id


@pytest.mark.parametrize(
    ("status", "action", "becomes"),
    [
        ("draft", "launch", "scheduled"),
        ("draft", "pause", 409),
        ("draft", "resume", 409),
        ("draft", "cancel", "cancelled"),
        ("scheduled", "launch", "scheduled"),
        ("scheduled", "pause", "paused"),
        ("scheduled", "resume", "scheduled"),
        ("scheduled", "cancel", "cancelled"),
        ("running", "launch", "running"),
        ("running", "pause", "paused"),
        ("running", "resume", "running"),
        ("running", "cancel", "cancelled"),
        ("paused", "launch", 409),
        ("paused", "pause", "paused"),
        ("paused", "resume", "scheduled"),
        ("paused", "cancel", "cancelled"),
        ("completed", "launch", 409),
        ("completed", "pause", 409),
        ("completed", "resume", 409),
        ("completed", "cancel", 409),
        ("cancelled", "launch", 409),
        ("cancelled", "pause", 409),
        ("cancelled", "resume", 409),
        ("cancelled", "cancel", "cancelled"),
    ],
)
async def test_each_action_in_each_status(
    api: httpx.AsyncClient, store: Store, status: str, action: str, becomes: str | int
) -> None:
    mailing_id = await mailing_that_is(status, api, store)
    before = (await api.get(f"{MAILINGS}/{mailing_id}")).json()
    answer = await act(api, mailing_id, action)
    if becomes == 409:
        assert_problem(answer, 409, f"mailing_{status}")
        assert await status_of(api, mailing_id) == status
    else:
        assert (answer.status_code, answer.json()["status"]) == (200, becomes)
        assert answer.json() == (await api.get(f"{MAILINGS}/{mailing_id}")).json()
        assert answer.json()["revision"] == before["revision"], "an action is no edit"
        if becomes == status:
            assert answer.json() == before, "what holds already changes nothing"


async def test_a_mailing_that_ran_runs_again_after_its_pause(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    await plan(store, mailing, [SENT, MessageStatus.QUEUED])
    assert (await act(api, mailing.id, "pause")).json()["counts"]["queued"] == 1, "what is unsent is kept"
    assert (await act(api, mailing.id, "resume")).json()["status"] == "running"


async def test_a_launch_fills_in_the_times_that_a_draft_left_open(api: httpx.AsyncClient) -> None:
    draft = await new_mailing(api, draft=True)
    assert (draft["start_at"], draft["end_at"]) == (None, None)
    launched = (await act(api, draft["id"], "launch")).json()
    start_at, end_at = (datetime.fromisoformat(launched[name]) for name in ("start_at", "end_at"))
    assert end_at - start_at == timedelta(hours=24)
    assert abs(start_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert launched["revision"] == 1


async def test_what_has_ended_cannot_go_on(api: httpx.AsyncClient, store: Store) -> None:
    over = await running_mailing(store, lasts=timedelta(milliseconds=1))
    assert_problem(await act(api, over.id, "pause"), 409, "mailing_ended")
    assert (await act(api, over.id, "cancel")).status_code == 200
    # A draft whose day, counted from a start long ago, has passed
    draft = await new_mailing(api, draft=True, start_at="2020-01-01T00:00:00Z")
    assert_problem(await act(api, draft["id"], "launch"), 409, "mailing_ended")
    assert (await api.patch(f"{MAILINGS}/{draft['id']}", json={"end_at": soon(hours=1)})).status_code == 200
    assert (await act(api, draft["id"], "launch")).json()["status"] == "scheduled"


async def test_the_same_action_many_times_at_once_is_done_once(api: httpx.AsyncClient, store: Store) -> None:
    mailing_id = await mailing_that_is("running", api, store)
    answers = await asyncio.gather(*(act(api, mailing_id, "pause") for _ in range(10)))
    assert {(answer.status_code, answer.json()["status"]) for answer in answers} == {(200, "paused")}
    assert len({answer.json()["updated_at"] for answer in answers}) == 1


async def test_an_action_takes_no_fields(api: httpx.AsyncClient) -> None:
    mailing = await new_mailing(api, start_at=soon(days=1))
    path = f"{MAILINGS}/{mailing['id']}/pause"
    assert_problem(await api.post(path, json={"reason": "x"}), 422, "validation_failed")
    assert_problem(
        await api.post(path, content=b"{", headers={"content-type": "application/json"}), 400, "malformed_json"
    )
    assert_problem(await api.post(path, content=b"x"), 415, "unsupported_media_type")
    assert (await api.post(path, json={})).status_code == 200


async def test_an_action_on_nothing_is_404(api: httpx.AsyncClient) -> None:
    for action in ("launch", "pause", "resume", "cancel"):
        assert_problem(await act(api, 2**62, action), 404, "mailing_not_found")
