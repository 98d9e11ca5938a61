"""Idempotency keys: a POST that is repeated gets the first answer."""

import asyncio
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.store.store import Store
from tests.integration.api.running import all_items, assert_problem

MAILINGS = "/api/v1/mailings"


def body(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "text": "Hello", "audience": {"tags": ["nobody"]}} | fields


@pytest.fixture
def name() -> str:
    """Of a mailing, and a key."""
    return secrets.token_hex(8)


async def test_the_same_request_again_gets_the_first_answer(api: httpx.AsyncClient, name: str) -> None:
    headers = {"Idempotency-Key": name}
    first = await api.post(MAILINGS, json=body(name), headers=headers)
    assert first.status_code == 201
    await api.patch(first.headers["location"], json={"text": "edited since"})
    reordered = dict(reversed(body(name).items()))
    again = await api.post(MAILINGS, json=reordered, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert len(await all_items(api, MAILINGS, name=name)) == 1


async def test_the_same_key_with_another_body_is_422(api: httpx.AsyncClient, name: str) -> None:
    headers = {"Idempotency-Key": name}
    await api.post(MAILINGS, json=body(name), headers=headers)
    other = await api.post(MAILINGS, json=body(name, text="Bye"), headers=headers)
    assert_problem(other, 422, "idempotency_key_reused")


async def test_of_many_at_once_one_creates(api: httpx.AsyncClient, name: str) -> None:
    headers = {"Idempotency-Key": name}
    answers = await asyncio.gather(*(api.post(MAILINGS, json=body(name), headers=headers) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "request_in_progress")
            assert answer.headers["retry-after"]
    assert len(await all_items(api, MAILINGS, name=name)) == 1
    assert (await api.post(MAILINGS, json=body(name), headers=headers)).status_code == 201


async def test_a_request_that_was_refused_leaves_its_key_free(api: httpx.AsyncClient, name: str) -> None:
    headers = {"Idempotency-Key": name}
    refused = await api.post(MAILINGS, json=body(name, end_at="2020-01-01T00:00:00Z"), headers=headers)
    assert_problem(refused, 422, "validation_failed", "/end_at")
    assert (await api.post(MAILINGS, json=body(name), headers=headers)).status_code == 201


@pytest.mark.parametrize("had_created", [False, True])
async def test_a_request_that_died_is_finished_by_its_repetition(
    api: httpx.AsyncClient, store: Store, name: str, had_created: bool
) -> None:
    # Given a key whose request died, before or after it created its mailing, two minutes ago
    headers = {"Idempotency-Key": name}
    first = await api.post(MAILINGS, json=body(name), headers=headers)
    keys = store.idempotency_keys._collection
    key = await keys.find_one({"resource_id": first.json()["id"]})
    assert key is not None
    long_ago = key["begun_at"] - timedelta(minutes=2)
    unanswered = {"$set": {"begun_at": long_ago}, "$unset": {"status": "", "body": "", "location": ""}}
    await keys.update_one({"_id": key["_id"]}, unanswered)
    if not had_created:
        await store.mailings._collection.delete_one({"_id": first.json()["id"]})
    # When it is repeated
    again = await api.post(MAILINGS, json=body(name), headers=headers)
    # Then there is one mailing, under the id that was meant for it
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert len(await all_items(api, MAILINGS, name=name)) == 1


@pytest.mark.parametrize("key", ["", "é", "a\tb", "a" * 256])
async def test_a_malformed_key_is_422(api: httpx.AsyncClient, name: str, key: str) -> None:
    answer = await api.post(MAILINGS, json=body(name), headers=[("Idempotency-Key", key.encode("latin-1"))])
    assert_problem(answer, 422, "invalid_idempotency_key")


async def test_two_keys_are_422(api: httpx.AsyncClient, name: str) -> None:
    answer = await api.post(MAILINGS, json=body(name), headers=[("Idempotency-Key", "a"), ("Idempotency-Key", "b")])
    assert_problem(answer, 422, "invalid_idempotency_key")
