"""Clients over HTTP."""

import asyncio
from datetime import timedelta

import httpx
import pytest

from shared.domain.message import CANCELLED, OPEN, RETRYING, SENT, UNKNOWN, WAITING, MessageStatus
from shared.runtime.clock import SystemClock
from shared.store.store import Store
from tests.integration.api.planned import plan, running_mailing
from tests.integration.api.running import all_items, assert_problem, new_client, new_phone

CLIENTS = "/api/v1/clients"


async def test_a_client_that_names_its_phone_alone_gets_the_defaults(api: httpx.AsyncClient) -> None:
    phone = new_phone()
    answer = await api.post(CLIENTS, json={"phone": phone})
    created = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"{CLIENTS}/{created['id']}")
    assert created == {
        "id": created["id"],
        "phone": phone,
        "operator_code": phone[1:4],
        "tags": [],
        "timezone": "Europe/Moscow",
        "attributes": {},
        "opted_out_at": None,
        "created_at": created["created_at"],
        "updated_at": created["created_at"],
    }
    shown = await api.get(answer.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (created, answer.headers["etag"])


async def test_what_is_given_is_kept(api: httpx.AsyncClient) -> None:
    given = {"operator_code": "999", "tags": ["б", "a"], "timezone": "Asia/Tokyo", "attributes": {"name": "Анна"}}
    created = await new_client(api, **given)
    assert {name: created[name] for name in given} == given


async def test_a_phone_belongs_to_one_client(api: httpx.AsyncClient) -> None:
    taken, other = await new_client(api), await new_client(api)
    assert_problem(await api.post(CLIENTS, json={"phone": taken["phone"]}), 409, "phone_taken")
    changed = await api.patch(f"{CLIENTS}/{other['id']}", json={"phone": taken["phone"]})
    assert_problem(changed, 409, "phone_taken")


async def test_of_many_who_create_the_same_client_at_once_one_wins(api: httpx.AsyncClient) -> None:
    phone = new_phone()
    answers = await asyncio.gather(*(api.post(CLIENTS, json={"phone": phone}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"phone": "7900123456a"}, "/phone"),
        ({"phone": "+79001234567"}, "/phone"),
        ({"phone": "٧٩٠٠١٢٣٤٥٦٧"}, "/phone"),
        ({"phone": 79001234567}, "/phone"),
        ({"phone": None}, "/phone"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"timezone": ""}, "/timezone"),
        ({"timezone": "../../etc/passwd"}, "/timezone"),
        ({"operator_code": ""}, "/operator_code"),
        ({"operator_code": "90"}, "/operator_code"),
        ({"tags": "vip"}, "/tags"),
        ({"tags": ["vip", " "]}, "/tags/1"),
        ({"tags": ["a\0b"]}, "/tags/0"),
        ({"tags": ["a" * 101]}, "/tags/0"),
        ({"tags": [str(number) for number in range(101)]}, "/tags"),
        ({"attributes": []}, "/attributes"),
        ({"attributes": {"name": 1}}, "/attributes/name"),
        ({"attributes": {"1a": "x"}}, "/attributes"),
        ({"attributes": {"$where": "x"}}, "/attributes"),
        ({"attributes": {"name": "\0"}}, "/attributes/name"),
        ({"id": 1}, "/id"),
        ({"opted_out_at": "2030-01-01T00:00:00Z"}, "/opted_out_at"),
    ],
)
async def test_a_client_that_breaks_a_rule_is_422(
    api: httpx.AsyncClient, fields: dict[str, object], pointer: str
) -> None:
    answer = await api.post(CLIENTS, json={"phone": new_phone()} | fields)
    assert_problem(answer, 422, "validation_failed", pointer)


async def test_a_list_is_narrowed_and_paged_by_id(api: httpx.AsyncClient) -> None:
    # Given seven clients, of which some share a tag or an operator code
    created = [
        await new_client(api, tags=["list", f"list-{number % 3}"], operator_code=str(200 + number))
        for number in range(7)
    ]
    ids = [client["id"] for client in created]
    # When they are listed in pages of two
    listed = await all_items(api, CLIENTS, tag="list", limit=2)
    # Then all of them come, once each, in the order of their ids
    assert listed == created
    # And each filter narrows, repeated ones by any of their values, different ones by all
    assert [one["id"] for one in await all_items(api, CLIENTS, tag=["list-0", "list-1"])] == [
        client_id for number, client_id in enumerate(ids) if number % 3 < 2
    ]
    assert [one["id"] for one in await all_items(api, CLIENTS, tag="list", operator_code=["201", "205"])] == [
        ids[1],
        ids[5],
    ]
    assert [one["id"] for one in await all_items(api, CLIENTS, phone=created[3]["phone"])] == [ids[3]]
    await api.patch(f"{CLIENTS}/{ids[2]}", json={"opted_out_at": "2026-01-01T00:00:00Z"})
    assert [one["id"] for one in await all_items(api, CLIENTS, tag="list", opted_out="true")] == [ids[2]]
    assert len(await all_items(api, CLIENTS, tag="list", opted_out="false")) == 6


async def test_a_merge_patch_changes_what_it_names(api: httpx.AsyncClient) -> None:
    client = await new_client(api, tags=["a"], attributes={"name": "Anna", "city": "Omsk"}, timezone="Asia/Omsk")
    path = f"{CLIENTS}/{client['id']}"
    patch = {"attributes": {"city": None, "car": "Lada"}, "tags": ["b", "c"]}
    changed = await api.patch(path, json=patch, headers={"content-type": "application/merge-patch+json"})
    assert changed.json() == client | {
        "attributes": {"name": "Anna", "car": "Lada"},
        "tags": ["b", "c"],
        "updated_at": changed.json()["updated_at"],
    }
    reset = (await api.patch(path, json={"attributes": None, "tags": None, "timezone": None})).json()
    assert (reset["attributes"], reset["tags"], reset["timezone"]) == ({}, [], "Europe/Moscow")
    assert_problem(await api.patch(path, json={"phone": None}), 422, "validation_failed", "/phone")
    assert_problem(await api.patch(path, json={"created_at": None}), 422, "validation_failed", "/created_at")


async def test_a_patch_that_changes_nothing_leaves_the_client_as_it_was(api: httpx.AsyncClient) -> None:
    client = await new_client(api, tags=["a"])
    for patch in ({}, {"tags": ["a"]}, {"opted_out_at": None}, {"operator_code": None}):
        assert (await api.patch(f"{CLIENTS}/{client['id']}", json=patch)).json() == client


async def test_a_derived_operator_code_follows_the_phone_and_a_given_one_does_not(api: httpx.AsyncClient) -> None:
    derived, given = await new_client(api), await new_client(api, operator_code="111")
    phone = "7123" + new_phone()[4:]
    changed = await api.patch(f"{CLIENTS}/{derived['id']}", json={"phone": phone})
    assert changed.json()["operator_code"] == "123"
    phone = "7124" + new_phone()[4:]
    changed = await api.patch(f"{CLIENTS}/{given['id']}", json={"phone": phone})
    assert changed.json()["operator_code"] == "111"
    changed = await api.patch(f"{CLIENTS}/{given['id']}", json={"operator_code": None})
    assert changed.json()["operator_code"] == "124"


async def test_changes_made_at_the_same_time_are_all_kept(api: httpx.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    answers = await asyncio.gather(*(api.patch(path, json={"attributes": {f"a{n}": str(n)}}) for n in range(8)))
    kept = {f"a{n}": str(n) for n, answer in enumerate(answers) if answer.status_code == 200}
    assert kept, "at least one gets through each time"
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await api.get(path)).json()["attributes"] == kept


async def test_preconditions(api: httpx.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    tag = (await api.get(path)).headers["etag"]
    unchanged = await api.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    # When somebody changes the client
    changed = await api.patch(path, json={"tags": ["new"]}, headers={"If-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] == (await api.get(path, headers={"If-None-Match": tag})).headers["etag"] != tag
    # Then whoever knows it as it was changes and deletes nothing
    for value in (tag, "nonsense", '"'):
        stale = {"If-Match": value}
        assert_problem(await api.patch(path, json={"tags": []}, headers=stale), 412, "precondition_failed")
        assert_problem(await api.delete(path, headers=stale), 412, "precondition_failed")
    deleted = await api.delete(path, headers={"If-Match": changed.headers["etag"]})
    assert (deleted.status_code, deleted.content) == (204, b"")


async def test_a_deleted_client_is_gone(api: httpx.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    assert (await api.delete(path)).status_code == 204
    for answer in (await api.get(path), await api.delete(path), await api.patch(path, json={"tags": []})):
        assert_problem(answer, 404, "client_not_found")
    assert_problem(await api.get(f"{path}/messages"), 404, "client_not_found")
    assert (await new_client(api, phone=client["phone"]))["id"] > client["id"], "its phone is free again"


@pytest.mark.parametrize("leaves_by", ["opting out", "deletion"])
async def test_what_is_unsent_to_a_client_who_leaves_is_cancelled(
    api: httpx.AsyncClient, store: Store, leaves_by: str
) -> None:
    # Given a client with a message in each status, each of a mailing of its own, that waits to be looked at later
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    expected: dict[int, MessageStatus] = {}
    later = SystemClock().now() + timedelta(hours=1)
    for status in (*MessageStatus, RETRYING):
        ambiguous = RETRYING in expected.values()  # the second one
        mailing = await running_mailing(store)
        [message_id] = await plan(store, mailing, [status], client_ids=[client["id"]], ambiguous=ambiguous)
        expected[message_id] = status
    second = message_id
    for leased in [await store.mailing_work.lease_next(later, owner="test", lease_s=1) for _ in expected]:
        assert leased is not None
        await store.mailing_work.release(leased, look_at=later)
    # When the client leaves
    if leaves_by == "opting out":
        answer = await api.patch(path, json={"opted_out_at": "2026-01-01T03:00:00+03:00"})
        assert answer.json()["opted_out_at"] == "2026-01-01T00:00:00.000Z"
    else:
        await api.delete(path)
    # Then what no sender is at is cancelled, or unknown where it may have been accepted, and all else is as it was
    for message_id, status in expected.items():
        became = (await api.get(f"/api/v1/messages/{message_id}")).json()
        left = status in OPEN and status is not MessageStatus.SENDING
        assert became["status"] == (UNKNOWN if message_id == second else CANCELLED if left else status)
        if left:
            assert became["reason"] == ("client_opted_out" if leaves_by == "opting out" else "client_deleted")
    # And the scheduler looks at these mailings at once
    due = await store.mailing_work.next_look_at()
    assert due is not None
    assert due < later


async def test_a_client_can_opt_in_again(api: httpx.AsyncClient) -> None:
    client = await new_client(api)
    path = f"{CLIENTS}/{client['id']}"
    await api.patch(path, json={"opted_out_at": "2026-01-01T00:00:00Z"})
    assert (await api.patch(path, json={"opted_out_at": None})).json()["opted_out_at"] is None


async def test_the_messages_to_a_client_are_listed(api: httpx.AsyncClient, store: Store) -> None:
    client = await new_client(api)
    for _ in range(3):
        await plan(store, await running_mailing(store), [SENT], client_ids=[client["id"]])
    await plan(store, await running_mailing(store), [WAITING])
    listed = await all_items(api, f"{CLIENTS}/{client['id']}/messages", limit=2)
    assert [one["client_id"] for one in listed] == [client["id"]] * 3
    assert [one["id"] for one in listed] == sorted(one["id"] for one in listed)
    assert all("attempts" not in one for one in listed)
