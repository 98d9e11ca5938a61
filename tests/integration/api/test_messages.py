"""Messages, dead letters and replays over HTTP."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from shared.domain.message import FAILED, QUEUED, RETRYING, SENT, UNKNOWN, MessageStatus
from shared.runtime.clock import SystemClock
from shared.store.store import Store
from tests.integration.api.planned import EVERY_STATUS, complete, lease, plan, running_mailing
from tests.integration.api.running import all_items, assert_problem, new_client, new_mailing

MAILINGS = "/api/v1/mailings"


async def test_a_message_tells_all_that_happened_to_it(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    [message_id] = await plan(store, mailing, [FAILED], client_ids=[77], reason="invalid_phone")
    answer = await api.get(f"/api/v1/messages/{message_id}")
    shown = answer.json()
    times = {name: shown[name] for name in ("created_at", "updated_at")}
    assert shown == times | {
        "id": message_id,
        "mailing_id": mailing.id,
        "client_id": 77,
        "phone": "79001234567",
        "operator_code": "900",
        "status": "failed",
        "attempt": 1,
        "ambiguous": False,
        "reason": "invalid_phone",
        "revision": 1,
        "due_at": None,
        "sent_at": None,
        "attempts": [
            {
                "at": shown["attempts"][0]["at"],
                "outcome": "permanent",
                "http_status": 400,
                "latency_ms": 20,
                "error": "said no",
            }
        ],
    }
    known = await api.get(f"/api/v1/messages/{message_id}", headers={"If-None-Match": answer.headers["etag"]})
    assert known.status_code == 304


async def test_a_mailings_messages_are_narrowed_and_paged(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    ids = await plan(store, mailing, EVERY_STATUS, client_ids=range(1, len(EVERY_STATUS) + 1))
    path = f"{MAILINGS}/{mailing.id}/messages"
    listed = await all_items(api, path, limit=4)
    assert [(one["id"], one["status"]) for one in listed] == list(zip(ids, EVERY_STATUS, strict=True))
    assert all("attempts" not in one for one in listed)
    narrowed = await all_items(api, path, status=["failed", "sent"], limit=1)
    assert [one["status"] for one in narrowed] == ["sent", "failed"]
    assert [one["id"] for one in await all_items(api, path, client_id=3)] == [ids[2]]
    assert await all_items(api, path, client_id=2**63 - 1) == []
    for query in ("client_id=0", f"client_id={2**63}", "client_id=x", "client_id=1&client_id=2"):
        assert_problem(await api.get(f"{path}?{query}"), 422, "validation_failed", "/client_id")
    assert_problem(await api.get(f"{path}?status=lost"), 422, "validation_failed", "/status")


async def test_dead_letters_are_grouped_by_mailing_and_reason(api: httpx.AsyncClient, store: Store) -> None:
    # Given a running and a completed mailing with dead letters, and a completed one without
    running, completed, clean = [await running_mailing(store) for _ in range(3)]
    await plan(store, running, [FAILED, FAILED, UNKNOWN, SENT, QUEUED], reason="b")
    await plan(store, running, [FAILED], reason="a")
    await plan(store, completed, [FAILED], reason='c "$d" \0')
    await complete(store, completed)
    await plan(store, clean, [SENT])
    await complete(store, clean)
    # When the groups are listed, one by one
    groups = await all_items(api, "/api/v1/dead-letters", limit=1)
    # Then they come by mailing and reason, with their counts
    ours = {running.id, completed.id, clean.id}
    told = [(one["mailing_id"], one["reason"], one["count"]) for one in groups if one["mailing_id"] in ours]
    assert told == [(running.id, "a", 1), (running.id, "b", 3), (completed.id, 'c "$d" \0', 1)]
    assert all(one["oldest"] <= one["newest"] for one in groups)
    assert groups == await all_items(api, "/api/v1/dead-letters", limit=500)


async def test_a_replay_counts_what_matches_and_is_left_to_the_scheduler(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    ids = await plan(store, mailing, EVERY_STATUS)
    [other] = await plan(store, mailing, [FAILED], reason="other")
    path = f"{MAILINGS}/{mailing.id}/replay"
    failed, unknown = ids[EVERY_STATUS.index(FAILED)], ids[EVERY_STATUS.index(UNKNOWN)]
    for body, count in (
        (None, 3),
        ({}, 3),
        ({"statuses": ["failed"]}, 2),
        ({"statuses": ["unknown", "failed", "failed"]}, 3),
        ({"reason": "other"}, 1),
        ({"message_ids": [failed, unknown, ids[0], 2**63 - 1]}, 2),
        ({"message_ids": [other], "statuses": ["unknown"]}, 0),
        ({"reason": "no such reason"}, 0),
    ):
        answer = await api.post(path, json=body) if body is not None else await api.post(path)
        assert (answer.status_code, answer.json()) == (202, {"replaying": count}), body
    leased = await lease(store, mailing)
    assert [(one.reason, one.message_ids) for one in leased.replays] == [
        (None, ()),
        (None, ()),
        (None, ()),
        (None, ()),
        ("other", ()),
        (None, (failed, unknown, ids[0], 2**63 - 1)),
    ], "what matches nothing is not asked for"


async def test_a_completed_mailing_runs_again_while_there_is_time(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    await plan(store, mailing, [SENT, FAILED])
    await complete(store, mailing)
    assert (await api.get(f"{MAILINGS}/{mailing.id}")).json()["status"] == "completed"
    assert (await api.post(f"{MAILINGS}/{mailing.id}/replay", json={})).json() == {"replaying": 1}
    again = (await api.get(f"{MAILINGS}/{mailing.id}")).json()
    assert (again["status"], again["counts"]["failed"], again["audience_size"]) == ("running", 1, 2)


@pytest.mark.parametrize("status", ["draft", "scheduled", "cancelled", "ended"])
async def test_what_does_not_run_cannot_be_replayed(api: httpx.AsyncClient, store: Store, status: str) -> None:
    if status == "ended":
        mailing_id = (await running_mailing(store, lasts=timedelta(milliseconds=1))).id
    else:
        mailing_id = (await new_mailing(api, draft=status == "draft", start_at="2040-01-01T00:00:00Z"))["id"]
    if status == "cancelled":
        await api.post(f"{MAILINGS}/{mailing_id}/cancel")
    assert_problem(await api.post(f"{MAILINGS}/{mailing_id}/replay", json={}), 409, f"mailing_{status}")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"statuses": ["sent"]}, "/statuses/0"),
        ({"statuses": ["failed", "lost"]}, "/statuses/1"),
        ({"statuses": "failed"}, "/statuses"),
        ({"statuses": ["failed"] * 10}, "/statuses"),
        ({"reason": ""}, "/reason"),
        ({"reason": "\0"}, "/reason"),
        ({"reason": 1}, "/reason"),
        ({"message_ids": []}, "/message_ids"),
        ({"message_ids": [1, 0]}, "/message_ids/1"),
        ({"message_ids": [1, 2**63]}, "/message_ids/1"),
        ({"message_ids": [1, 2**70]}, "/message_ids/1"),
        ({"message_ids": ["1"]}, "/message_ids/0"),
        ({"message_ids": [True]}, "/message_ids/0"),
        ({"message_ids": [1.0]}, "/message_ids/0"),
        ({"message_ids": list(range(1, 10_002))}, "/message_ids"),
        ({"all": True}, "/all"),
    ],
)
async def test_a_replay_that_makes_no_sense_is_422(
    api: httpx.AsyncClient, store: Store, body: dict[str, object], pointer: str
) -> None:
    mailing = await running_mailing(store)
    answer = await api.post(f"{MAILINGS}/{mailing.id}/replay", json=body)
    assert_problem(answer, 422, "validation_failed", pointer)


async def test_a_bounded_number_of_replays_waits(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    await plan(store, mailing, [FAILED])
    path = f"{MAILINGS}/{mailing.id}/replay"
    one_after_another = [await api.post(path, json={}) for _ in range(11)]
    assert [answer.status_code for answer in one_after_another[:10]] == [202] * 10
    assert_problem(one_after_another[10], 409, "too_many_replays")


async def test_replays_asked_for_at_the_same_moment_are_told_apart(api: httpx.AsyncClient, store: Store) -> None:
    mailing = await running_mailing(store)
    await plan(store, mailing, [FAILED])
    path = f"{MAILINGS}/{mailing.id}/replay"
    answers = await asyncio.gather(*(api.post(path, json={}) for _ in range(5)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    asked = await store.mailings._collection.find_one({"_id": mailing.id})
    moments = [one["asked_at"] for one in asked["replays"]]
    assert len(moments) == len(set(moments)) == sum(answer.status_code == 202 for answer in answers)


def test_every_status_is_among_those_that_are_planned_here() -> None:
    assert set(EVERY_STATUS) == set(MessageStatus)


@pytest.mark.parametrize("leaves_by", ["opting out", "deletion"])
async def test_a_client_who_leaves_what_may_have_been_accepted_leaves_a_doubt_about_the_dead_letters(
    api: httpx.AsyncClient, store: Store, leaves_by: str
) -> None:
    # Given no doubt, and a client with a message that waits for its retry and may have been accepted
    await take_doubts_back(store)
    client_id = (await new_client(api))["id"]
    mailing = await running_mailing(store)
    [message_id] = await plan(store, mailing, [RETRYING], client_ids=[client_id], ambiguous=True)

    # When the client leaves
    if leaves_by == "deletion":
        await api.delete(f"/api/v1/clients/{client_id}")
    else:
        await api.patch(f"/api/v1/clients/{client_id}", json={"opted_out_at": "2026-01-01T00:00:00Z"})

    # Then the message is unknown, and the schedulers will see to its entry
    assert (await api.get(f"/api/v1/messages/{message_id}")).json()["status"] == "unknown"
    assert await take_doubts_back(store)


async def take_doubts_back(store: Store) -> bool:
    """Take back all doubts about the dead letters, as the end of a walk does; whether there was one."""
    now, state = SystemClock().now(), store.dead_letter_state
    leased = await state.lease(now, every_s=-3_600, lease_s=0)
    assert leased is not None
    doubts = await state.begin_walk(leased.token, settled_before=now + timedelta(hours=1))
    await state.release(leased.token, now=now, differs_since=None, doubts_cleared=doubts)
    return leased.in_doubt
