"""What is read after the claim decides: pause, end, cancel, opt-out, windows, and text that cannot be made."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from shared.domain.mailing import CANCELLED, COMPLETED, PAUSED, MailingStatus
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from tests.integration.sender.planting import Planting, now
from tests.integration.sender.running import Senders, work_off
from tests.unit.fake_provider.running import read_entries, read_summary, set_faults

PASSED = timedelta(seconds=1)


async def send(world: Planting, senders: Senders, message_id: int, **command: Any) -> dict[str, Any]:
    """Have its command handled; the message afterwards."""
    mailing_id = (await world.found(message_id))["mailing_id"]
    await world.command(message_id, mailing_id, **command)
    await work_off(world, senders)
    return await world.found(message_id)


async def called(control: aiohttp.ClientSession) -> int:
    calls: int = (await read_summary(control))["calls"]
    return calls


@pytest.mark.parametrize("status", [PAUSED, CANCELLED, COMPLETED])
async def test_a_mailing_that_does_not_run_parks_and_the_attempt_never_happened(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, status: MailingStatus
) -> None:
    message_id = await world.message(await world.mailing(status=status), attempt=2, status="retrying")

    found = await send(world, senders, message_id, attempt=3)

    assert (found["status"], found["attempt"], found["reason"]) == ("waiting", 2, f"mailing_{status}")
    assert found["due_at"] <= now()
    assert found["attempts"] == []
    assert "claim" not in found
    assert await called(control) == 0
    assert await world.retries() == {}


@pytest.mark.parametrize("how", ["end_at", "closed_at"])
async def test_a_mailing_that_has_ended_parks_for_the_scheduler_to_expire(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, how: str
) -> None:
    mailing_id = await world.mailing(**{how: now() - PASSED})
    found = await send(world, senders, await world.message(mailing_id))

    assert (found["status"], found["attempt"], found["reason"]) == ("waiting", 0, "mailing_ended")
    assert await called(control) == 0


async def test_a_closed_window_parks_until_it_opens(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    moment = datetime.now(UTC) + timedelta(hours=3)
    window = LocalWindow(*(at.time().replace(second=0, microsecond=0) for at in (moment, moment + timedelta(hours=1))))
    message_id = await world.message(await world.mailing(local_window=window), timezone="UTC")

    found = await send(world, senders, message_id)

    assert (found["status"], found["reason"]) == ("waiting", "window_closed")
    assert found["due_at"] == moment.replace(second=0, microsecond=0)
    assert await called(control) == 0


async def test_the_window_is_that_of_the_clients_zone_when_the_message_was_planned(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)
    window = LocalWindow(*(at.time().replace(second=0, microsecond=0) for at in (moment, moment + timedelta(hours=2))))
    message_id = await world.message(await world.mailing(local_window=window), timezone="UTC")

    assert (await send(world, senders, message_id))["status"] == "sent"


@pytest.mark.parametrize("gone", ["opted out", "deleted"])
@pytest.mark.parametrize(("ambiguous", "status"), [(False, "cancelled"), (True, "unknown")])
async def test_a_client_who_is_gone_gets_nothing_more(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, gone: str, ambiguous: bool, status: str
) -> None:
    client_id = await world.client()
    message_id = await world.message(
        await world.mailing(), client_id=client_id, ambiguous=ambiguous, status="retrying", attempt=1
    )
    if gone == "deleted":
        await world.documents["clients"].delete_one({"_id": client_id})
    else:
        await world.documents["clients"].update_one({"_id": client_id}, {"$set": {"opted_out_at": now()}})

    found = await send(world, senders, message_id, attempt=2)

    assert (found["status"], found["attempt"], found["reason"]) == (status, 1, "client_gone")
    assert found["due_at"] is None
    assert await called(control) == 0
    letters = await world.letters()
    assert [letter.command.message_id for letter in letters] == ([message_id] if ambiguous else [])


async def test_a_missing_attribute_fails_with_its_reason_and_a_dead_letter(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    message_id = await world.message(await world.mailing(text="Hello {name}"))

    found = await send(world, senders, message_id)

    assert (found["status"], found["attempt"], found["reason"]) == ("failed", 1, "missing_attribute")
    assert found["attempts"][0]["error"] == "the client has no attribute name"
    [letter] = await world.letters()
    assert letter.headers["x-mailrun-reason"] == "missing_attribute"
    assert await called(control) == 0


async def test_a_text_that_attributes_make_too_long_fails_with_its_reason_and_a_dead_letter(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing(text="{a} and {a}, {a} and {a}")
    message_id = await world.message(mailing_id, fields={"a": "x" * 1_000})

    found = await send(world, senders, message_id)

    assert (found["status"], found["attempt"], found["reason"]) == ("failed", 1, "text_too_long")
    assert "4012 characters" in found["attempts"][0]["error"]
    [letter] = await world.letters()
    assert letter.headers["x-mailrun-reason"] == "text_too_long"
    assert await called(control) == 0


async def test_an_edited_text_and_a_new_attribute_are_what_is_sent(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    client_id = await world.client(attributes={"name": "Ann", "city": "Kazan"})
    mailing_id = await world.mailing(text="Hello {name}")
    message_id = await world.message(mailing_id, client_id=client_id, fields={"name": "Ann"})
    await world.set_mailing(mailing_id, text="Bye {name} of {city}", revision=2)

    found = await send(world, senders, message_id)

    assert (found["status"], found["revision"]) == ("sent", 2)
    assert [call["text"] for call in await read_entries(control)] == ["Bye Ann of Kazan"]


async def test_a_fault_of_ours_puts_the_same_attempt_off(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 401})
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id)
    await world.command(message_id, mailing_id)

    sender = await work_off(world, senders)

    found = await world.found(message_id)
    assert (found["status"], found["attempt"], found["attempts"]) == ("queued", 0, [])
    [waiting] = (await world.retries())["5s"]
    assert (waiting.message_id, waiting.attempt, waiting.recover) == (message_id, 1, True)
    assert await called(control) == 1
    assert "http_401" in sender.told["provider"]


@pytest.mark.parametrize(
    ("fault", "status", "ambiguous", "reason"),
    [
        ({"kind": "status", "code": 500}, "retrying", False, "http_500"),
        ({"kind": "status", "code": 400}, "failed", False, "http_400"),
        ({"kind": "refusal", "code": 4}, "failed", False, "refused_code_4"),
        ({"kind": "garbage", "bodies": ["html"]}, "retrying", True, "malformed_answer"),
        ({"kind": "reset"}, "retrying", True, "no_answer"),
        ({"kind": "hang"}, "retrying", True, "no_answer"),
    ],
    ids=lambda value: value.get("kind") if isinstance(value, dict) else None,
)
async def test_outcomes_end_where_they_should_in_store_and_broker(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    fault: dict[str, Any],
    status: str,
    ambiguous: bool,
    reason: str,
) -> None:
    await set_faults(control, fault)

    found = await send(world, senders, await world.message(await world.mailing()))

    assert (found["status"], found["ambiguous"], found["reason"]) == (status, ambiguous, reason)
    retries, letters = await world.retries(), await world.letters()
    if status == "retrying":
        assert {name: [one.attempt for one in commands] for name, commands in retries.items()} == {"5s": [2]}
        assert found["due_at"] > now() + timedelta(seconds=60)
        assert letters == []
    else:
        assert retries == {}
        assert [letter.headers["x-mailrun-reason"] for letter in letters] == [reason]
        assert found["due_at"] is None


@pytest.mark.parametrize("fault", [{"kind": "hang"}, {"kind": "reset", "accepts": 1.0}])
async def test_under_hold_nothing_is_called_again_after_an_unknown_outcome(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, fault: dict[str, Any]
) -> None:
    await set_faults(control, fault)

    found = await send(world, senders, await world.message(await world.mailing(on_unknown=OnUnknown.HOLD)))

    assert (found["status"], found["ambiguous"]) == ("unknown", True)
    assert await world.retries() == {}
    assert len(await world.letters()) == 1


async def test_an_ambiguous_message_that_is_refused_for_good_ends_unknown(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 400})
    message_id = await world.message(await world.mailing(), status="retrying", attempt=1, ambiguous=True)

    found = await send(world, senders, message_id, attempt=2)

    assert (found["status"], found["reason"]) == ("unknown", "http_400")
