"""Mailings over HTTP: created, listed, edited, deleted."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.domain.message import SENT, MessageStatus
from shared.store.store import Store
from tests.integration.api.planned import complete, plan, running_mailing
from tests.integration.api.running import all_items, assert_problem, new_mailing

MAILINGS = "/api/v1/mailings"
NO_COUNTS = {status.value: 0 for status in MessageStatus}


def soon(**distance: float) -> str:
    return (datetime.now(UTC) + timedelta(**distance)).isoformat()


async def test_a_mailing_that_names_its_text_and_audience_alone_gets_the_defaults(api: httpx.AsyncClient) -> None:
    answer = await api.post(MAILINGS, json={"text": "Hello", "audience": {"everyone": True}, "start_at": soon(days=1)})
    created = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{MAILINGS}/{created['id']}")
    start_at, end_at = (datetime.fromisoformat(created[name]) for name in ("start_at", "end_at"))
    assert end_at - start_at == timedelta(hours=24)
    assert created == {
        "id": created["id"],
        "name": "",
        "text": "Hello",
        "audience": {"operator_codes": [], "tags": [], "everyone": True},
        "start_at": created["start_at"],
        "end_at": created["end_at"],
        "local_window": None,
        "rate_per_s": None,
        "on_unknown": "resend",
        "status": "scheduled",
        "pause_reason": None,
        "counts": NO_COUNTS,
        "audience_size": 0,
        "revision": 1,
        "created_at": created["created_at"],
        "updated_at": created["created_at"],
    }
    shown = await api.get(answer.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (created, answer.headers["etag"])


async def test_what_is_given_is_kept(api: httpx.AsyncClient) -> None:
    given: dict[str, Any] = {
        "name": "Весна",
        "text": "Hello {name|friend}, {{braces}}",
        "audience": {"operator_codes": ["900", "901"], "tags": ["vip"], "everyone": False},
        "start_at": "2030-03-01T09:00:00.123Z",
        "end_at": "2030-03-01T18:00:00.000Z",
        "local_window": {"start": "21:00", "end": "06:30"},
        "rate_per_s": 0.5,
        "on_unknown": "hold",
    }
    created = await new_mailing(api, **given)
    assert {name: created[name] for name in given} == given


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"audience": {}}, "audience_missing", "/audience"),
        ({"audience": {"operator_codes": [], "everyone": False}}, "audience_missing", "/audience"),
        ({"audience": {"everyone": True, "tags": ["a"]}}, "validation_failed", "/audience/everyone"),
        ({"audience": {"tags": ["a", "b\0"]}}, "validation_failed", "/audience/tags/1"),
        ({"audience": {"tags": ["a"], "phones": []}}, "validation_failed", "/audience/phones"),
        ({"audience": None}, "validation_failed", "/audience"),
        ({"text": ""}, "validation_failed", "/text"),
        ({"text": "a" * 2_001}, "validation_failed", "/text"),
        ({"text": "Hello {"}, "validation_failed", "/text"),
        ({"start_at": "2030-03-01T09:00:00"}, "validation_failed", "/start_at"),
        ({"start_at": "2030-03-01T09:00:00Z", "end_at": "2030-03-01T09:00:00Z"}, "validation_failed", "/end_at"),
        ({"end_at": "2020-03-01T09:00:00Z"}, "validation_failed", "/end_at"),
        ({"start_at": "9999-12-31T23:59:59-14:00"}, "validation_failed", "/start_at"),
        ({"start_at": "0001-01-01T00:00:00+14:00"}, "validation_failed", "/start_at"),
        ({"rate_per_s": -1}, "validation_failed", "/rate_per_s"),
        ({"local_window": {"start": "09:00", "end": "09:00"}}, "validation_failed", "/local_window"),
        ({"status": "running"}, "validation_failed", "/status"),
    ],
)
async def test_a_mailing_that_breaks_a_rule_is_422(
    api: httpx.AsyncClient, fields: dict[str, Any], code: str, pointer: str
) -> None:
    answer = await api.post(MAILINGS, json={"text": "Hello", "audience": {"tags": ["nobody"]}} | fields)
    assert_problem(answer, 422, code, pointer)


async def test_a_mailing_at_the_end_of_time_can_be_made(api: httpx.AsyncClient) -> None:
    created = await new_mailing(api, start_at="9998-12-31T23:59:59.999Z")
    assert created["end_at"] == "9999-01-01T23:59:59.999Z"
    assert (await api.get(f"{MAILINGS}/{created['id']}")).json() == created


async def test_a_list_is_narrowed_and_paged_the_youngest_first(api: httpx.AsyncClient) -> None:
    name = f"list-{secrets.token_hex(4)}"
    created = [
        await new_mailing(api, name=name, start_at=f"2040-01-0{day}T00:00:00Z", draft=day == 5) for day in range(1, 6)
    ]
    ids = [one["id"] for one in created]
    assert await all_items(api, MAILINGS, name=name, limit=2) == created[::-1]
    assert [one["id"] for one in await all_items(api, MAILINGS, name=name, status="draft")] == [ids[4]]
    assert len(await all_items(api, MAILINGS, name=name, status=["draft", "scheduled"])) == 5
    between = {"start_from": "2040-01-02T00:00:00Z", "start_to": "2040-01-04T03:00:00+03:00"}
    assert [one["id"] for one in await all_items(api, MAILINGS, name=name, **between)] == [ids[2], ids[1]]


async def test_an_edit_makes_a_revision_and_one_that_changes_nothing_makes_none(
    api: httpx.AsyncClient, store: Store
) -> None:
    # Given a running mailing, of which two messages were sent from its first revision
    mailing = await running_mailing(store)
    await plan(store, mailing, [SENT, SENT, MessageStatus.QUEUED])
    path = f"{MAILINGS}/{mailing.id}"
    before = (await api.get(path)).json()
    assert (before["counts"]["sent"], before["audience_size"], before["revision"]) == (2, 3, 1)
    # When its text and window are edited, and then edited to what they are
    patch = {"text": "Bye", "local_window": {"start": "09:00", "end": "21:00"}}
    edited = (await api.patch(path, json=patch)).json()
    again = (await api.patch(path, json=patch)).json()
    # Then there is one more revision, which tells what changed
    assert edited == again
    assert edited == before | patch | {"revision": 2, "updated_at": edited["updated_at"]}
    first, second = await all_items(api, f"{path}/revisions", limit=1)
    assert (first["revision"], first["edits"], first["sent"]) == (1, [], 2)
    assert second == {
        "revision": 2,
        "at": edited["updated_at"],
        "edits": [
            {"field": "local_window", "before": None, "after": patch["local_window"]},
            {"field": "text", "before": "Hello", "after": "Bye"},
        ],
        "sent": 0,
    }


async def test_what_cannot_change_any_more_is_409(api: httpx.AsyncClient, store: Store) -> None:
    running = f"{MAILINGS}/{(await running_mailing(store)).id}"
    for patch in ({"audience": {"tags": ["other"]}}, {"start_at": soon(minutes=1)}, {"on_unknown": "hold"}):
        assert_problem(await api.patch(running, json=patch), 409, "mailing_already_running")
    over = await running_mailing(store, lasts=timedelta(milliseconds=1))
    assert_problem(await api.patch(f"{MAILINGS}/{over.id}", json={"end_at": soon(hours=1)}), 409, "mailing_ended")
    await api.post(f"{running}/cancel")
    assert_problem(await api.patch(running, json={"text": "x"}), 409, "mailing_cancelled")
    completed = await running_mailing(store)
    await complete(store, completed)
    assert_problem(await api.patch(f"{MAILINGS}/{completed.id}", json={"text": "x"}), 409, "mailing_completed")


async def test_edits_made_at_the_same_time_are_all_kept_or_refused(api: httpx.AsyncClient) -> None:
    mailing = await new_mailing(api, start_at=soon(days=1))
    path = f"{MAILINGS}/{mailing['id']}"
    answers = await asyncio.gather(*(api.patch(path, json={"text": f"text {n}"}) for n in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    accepted = [answer.json() for answer in answers if answer.status_code == 200]
    assert sorted(one["revision"] for one in accepted) == list(range(2, 2 + len(accepted)))
    assert (await api.get(path)).json() == max(accepted, key=lambda one: one["revision"])


async def test_preconditions(api: httpx.AsyncClient) -> None:
    mailing = await new_mailing(api, start_at=soon(days=1))
    path = f"{MAILINGS}/{mailing['id']}"
    tag = (await api.get(path)).headers["etag"]
    # The tag leaves the counts out, so it cannot say that nothing has changed.
    assert (await api.get(path, headers={"If-None-Match": f"W/{tag}"})).status_code == 200
    edited = await api.patch(path, json={"text": "x"}, headers={"If-Match": tag})
    assert edited.status_code == 200
    assert_problem(await api.patch(path, json={"text": "y"}, headers={"If-Match": tag}), 412, "precondition_failed")
    assert_problem(await api.delete(path, headers={"If-Match": tag}), 412, "precondition_failed")
    paused = await api.post(f"{path}/pause")
    assert len({tag, edited.headers["etag"], paused.headers["etag"]}) == 3
    assert (await api.delete(path, headers={"If-Match": paused.headers["etag"]})).status_code == 204


async def test_a_deleted_mailing_is_hidden_at_once_with_all_that_is_its(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    [message_id] = await plan(store, mailing, [MessageStatus.FAILED])
    path = f"{MAILINGS}/{mailing.id}"
    deleted = await api.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for answer in (
        await api.get(path),
        await api.delete(path),
        await api.patch(path, json={"text": "x"}),
        await api.post(f"{path}/cancel"),
        await api.post(f"{path}/replay", json={}),
        await api.get(f"{path}/messages"),
        await api.get(f"{path}/revisions"),
        await api.get(f"/api/v1/statistics/{mailing.id}"),
    ):
        assert_problem(answer, 404, "mailing_not_found")
    assert_problem(await api.get(f"/api/v1/messages/{message_id}"), 404, "message_not_found")
    assert mailing.id not in {one["id"] for one in await all_items(api, MAILINGS, limit=500)}
    assert mailing.id not in {one["mailing_id"] for one in await all_items(api, "/api/v1/dead-letters", limit=500)}


async def test_a_history_that_is_full_refuses_another_edit(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.store.mailings.MAX_REVISIONS_BYTES", 1_000)
    mailing = await new_mailing(api, start_at=soon(days=1))
    path = f"{MAILINGS}/{mailing['id']}"
    answers = [await api.patch(path, json={"text": f"{n:300}"}) for n in range(1, 7)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert_problem(answers[-1], 409, "too_many_revisions")
    assert (await api.post(f"{path}/pause")).status_code == 200, "it can still be paused"
