"""Given a provider with faults, when a mailing runs, then each message ends as the provider's answers say."""

import asyncio
from typing import Any

import aio_pika
import pytest

from tests.e2e.agreement import assert_agreement
from tests.e2e.system import System, from_now
from tests.support.eventually import eventually

READ_EVERY_S = 3.0  # reading the queue takes its entries out for a moment, and the scheduler counts them, too


async def slow_start(system: System, count: int) -> tuple[Any, Any]:
    """A mailing that has not started, so that faults can be made for its text first."""
    audience = await system.make_audience(count)
    mailing = await system.make_mailing(audience, start_at=from_now(minutes=10), end_at=from_now(minutes=30))
    return audience, mailing


async def start_now(system: System, mailing: dict[str, Any]) -> dict[str, Any]:
    return dict(await system.ask("PATCH", f"/mailings/{mailing['id']}", {"start_at": from_now()}))


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_transient_faults_end_in_sent_after_retries(system: System, code: int) -> None:
    audience, mailing = await slow_start(system, 12)
    await system.set_faults({"kind": "status", "code": code, "times": 10, "for_texts": [mailing["text"]]})
    await start_now(system, mailing)
    statistics = await system.until(mailing, "completed", sent=12)
    calls = await assert_agreement(system, mailing, audience)
    assert len(calls) == 22
    assert statistics["ambiguous"] == 0
    retried = [one for one in await system.messages(mailing["id"]) if one["attempt"] > 1]
    assert retried or code == 503  # a second, quick try inside the attempt may have done for all of these
    for one in retried:
        attempts = (await system.ask("GET", f"/messages/{one['id']}"))["attempts"]
        assert [attempt["outcome"] for attempt in attempts][-1] == "accepted"
        assert {attempt["outcome"] for attempt in attempts[:-1]} == {"refused"}
        assert attempts[0]["http_status"] == code


async def test_permanent_refusals_end_in_failed_and_among_the_dead_letters(system: System) -> None:
    audience, mailing = await slow_start(system, 9)
    by_400, by_code = audience.phones[:3], audience.phones[3:5]
    await system.set_faults(
        {"kind": "status", "code": 400, "for_phones": [int(phone) for phone in by_400]},
        {"kind": "refusal", "code": 7, "for_phones": [int(phone) for phone in by_code]},
    )
    await start_now(system, mailing)
    statistics = await system.until(mailing, "completed", sent=4, failed=5)
    await assert_agreement(system, mailing, audience)
    expected = [{"reason": "http_400", "count": 3}, {"reason": "refused_code_7", "count": 2}]
    assert statistics["failures"] == expected
    groups = (await system.ask("GET", "/dead-letters?limit=500"))["items"]
    mine = [{"reason": one["reason"], "count": one["count"]} for one in groups if one["mailing_id"] == mailing["id"]]
    assert mine == expected
    failed = {one["id"]: one["reason"] for one in await system.messages(mailing["id"]) if one["status"] == "failed"}
    await eventually(lambda: letters_are(system, mailing["id"], failed), "its entries in messages.dead")


async def letters_are(system: System, mailing_id: int, expected: dict[int, str]) -> bool:
    """Whether the dead-letter queue holds exactly these messages of a mailing, with their reasons."""
    found: list[tuple[int, str]] = []
    connection = await aio_pika.connect(system.amqp_url)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue("messages.dead", ensure=False)
        while (entry := await queue.get(fail=False)) is not None:
            if entry.headers.get("x-mailrun-mailing-id") == mailing_id:
                message_id = int(entry.body.split(b'"message_id":')[1].split(b",")[0])
                found.append((message_id, str(entry.headers["x-mailrun-reason"])))
    return sorted(found) == sorted(expected.items())


async def test_every_fault_of_the_provider_and_the_counts_add_up(system: System) -> None:
    audience, mailing = await slow_start(system, 240)
    kinds: list[dict[str, Any]] = [
        {"kind": "slow", "delay_s": 0.1, "delay_max_s": 0.5},
        {"kind": "hang"},
        {"kind": "reset"},
        {"kind": "garbage"},
        {"kind": "redirect", "times": 3},
        {"kind": "refusal", "code": 3},
        *({"kind": "status", "code": code, "times": 3} for code in (401, 403)),
        *({"kind": "status", "code": code} for code in (400, 404, 409, 422, 429, 500, 502, 503, 504)),
    ]
    await system.set_faults(*({**kind, "probability": 0.05, "for_texts": [mailing["text"]]} for kind in kinds))
    await start_now(system, mailing)
    statistics = await system.until(mailing, "completed", within_s=150)
    await assert_agreement(system, mailing, audience)
    counts = statistics["counts"]
    assert counts["sent"] + counts["failed"] + counts["unknown"] == 240
    assert min(counts["sent"], counts["failed"], statistics["ambiguous"]) > 0


async def test_a_provider_that_refuses_connections_for_a_while(system: System) -> None:
    audience, mailing = await slow_start(system, 30)
    await system.set_faults({"kind": "refuse", "duration_s": 3})
    await start_now(system, mailing)
    await asyncio.gather(
        system.until(mailing, "completed", sent=30),
        eventually(lambda: _is_back(system), "the provider back"),
    )
    await assert_agreement(system, mailing, audience)


async def _is_back(system: System) -> bool:
    try:
        return (await system.provider.get("/health/live")).status_code == 200
    except Exception:  # noqa: BLE001 - any failure to connect means: not yet
        return False


async def test_hold_keeps_what_nobody_can_know_for_a_person(system: System) -> None:
    audience = await system.make_audience(6)
    mailing = await system.make_mailing(audience, start_at=from_now(minutes=10), on_unknown="hold")
    await system.set_faults({"kind": "status", "code": 502, "for_texts": [mailing["text"]]})
    await start_now(system, mailing)
    statistics = await system.until(mailing, "completed", unknown=6)
    assert statistics["ambiguous"] == 6
    calls = await assert_agreement(system, mailing, audience)
    assert len(calls) == 6
    await system.set_faults()
    answer = await system.ask("POST", f"/mailings/{mailing['id']}/replay", {"statuses": ["unknown"]}, expect=202)
    assert answer == {"replaying": 6}
    await system.until(mailing, "completed", sent=6)
    await assert_agreement(system, mailing, audience)
    await eventually(
        lambda: letters_are(system, mailing["id"], {}), "no entry left in messages.dead", every_s=READ_EVERY_S
    )
