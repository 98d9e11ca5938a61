"""What a command leads to, whatever state a dead sender, a wiped broker or a double has left its message in."""

from typing import Any

import aiohttp
import pytest

from shared.domain.message import OnUnknown
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders, work_off
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_entries, read_summary, set_faults

OUTLIVED_S, YOUNG_S = 31.0, 5.0


async def test_a_new_command_is_delivered_once_and_acked(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing(text="Hello {name|you}")
    message_id = await world.message(mailing_id)
    await world.command(message_id, mailing_id)

    await work_off(world, senders)

    found = await world.found(message_id)
    assert (found["status"], found["attempt"], found["due_at"], found["revision"]) == ("sent", 1, None, 1)
    assert "claim" not in found
    [attempt] = found["attempts"]
    assert (attempt["outcome"], attempt["http_status"], attempt["error"]) == ("accepted", 200, None)
    assert found["sent_at"] == attempt["at"]
    [call] = await read_entries(control)
    assert (call["message_id"], call["text"]) == (message_id, "Hello you")
    assert await world.retries() == {}
    assert await world.letters() == []


async def test_ten_commands_for_one_message_make_one_call(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id)
    await world.commands([message_id] * 10, mailing_id)

    await work_off(world, senders)

    assert (await world.found(message_id))["status"] == "sent"
    assert (await read_summary(control))["calls"] == 1
    assert await world.retries() == {}


async def test_a_command_of_an_earlier_attempt_in_the_same_batch_does_not_keep_the_right_one_from_claiming(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, status="retrying", attempt=1)
    await world.command(message_id, mailing_id, attempt=1)
    await world.command(message_id, mailing_id, attempt=2)

    await work_off(world, senders)

    found = await world.found(message_id)
    assert (found["status"], found["attempt"]) == ("sent", 2)
    assert (await read_summary(control))["calls"] == 1


@pytest.mark.parametrize(
    ("status", "attempt"),
    [("sending", 1), ("retrying", 1), ("failed", 1), ("unknown", 1), ("sent", 1), ("waiting", 0), ("expired", 0)],
)
async def test_a_command_that_is_not_recovering_is_acked_whatever_it_finds(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, status: str, attempt: int
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S)
    await world.set_message(message_id, status=status, attempt=attempt)
    before = await world.found(message_id)
    await world.command(message_id, mailing_id)

    await work_off(world, senders)

    assert await world.found(message_id) == before
    assert (await read_summary(control))["calls"] == 0
    assert await world.retries() == {}
    assert await world.letters() == []


async def test_a_recovering_command_waits_for_a_young_claim(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.claimed(mailing_id, age_s=YOUNG_S, attempt=2)
    before = await world.found(message_id)
    await world.command(message_id, mailing_id, attempt=2, recover=True)

    await work_off(world, senders)

    assert await world.found(message_id) == before
    [waiting] = (await world.retries())["30s"]
    assert (waiting.message_id, waiting.attempt, waiting.recover) == (message_id, 2, True)
    assert (await read_summary(control))["calls"] == 0


async def test_an_outlived_claim_is_an_unknown_outcome_and_is_tried_again_where_that_is_allowed(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing(on_unknown=OnUnknown.RESEND)
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S, attempt=2)
    await world.command(message_id, mailing_id, attempt=2, recover=True)

    await work_off(world, senders)

    found = await world.found(message_id)
    assert (found["status"], found["attempt"], found["ambiguous"]) == ("retrying", 2, True)
    assert found["reason"] == "claim_outlived"
    assert "claim" not in found
    assert [one["outcome"] for one in found["attempts"]] == ["unknown"]
    [retry] = (await world.retries())["30s"]
    assert (retry.message_id, retry.attempt, retry.recover) == (message_id, 3, False)
    assert (await read_summary(control))["calls"] == 0


@pytest.mark.parametrize(("on_unknown", "attempt"), [(OnUnknown.HOLD, 1), (OnUnknown.HOLD, 6), (OnUnknown.RESEND, 6)])
async def test_an_outlived_claim_ends_unknown_where_it_may_not_or_cannot_be_tried_again(
    world: Planting, senders: Senders, on_unknown: OnUnknown, attempt: int
) -> None:
    mailing_id = await world.mailing(on_unknown=on_unknown)
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S, attempt=attempt)
    await world.command(message_id, mailing_id, attempt=attempt, recover=True)

    await work_off(world, senders)

    found = await world.found(message_id)
    assert (found["status"], found["ambiguous"], found["due_at"]) == ("unknown", True, None)
    [letter] = await world.letters()
    assert letter.command.message_id == message_id
    assert letter.headers["x-mailrun-reason"] == "claim_outlived"
    assert await world.retries() == {}


async def test_many_commands_find_one_outlived_claim_and_it_is_recorded_once(world: Planting, senders: Senders) -> None:
    mailing_id = await world.mailing()
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S)
    await world.commands([message_id] * 5, mailing_id, recover=True)

    await work_off(world, senders)

    found = await world.found(message_id)
    assert len(found["attempts"]) == 1
    retries = await world.retries()
    # Whoever came second waits for the claim, or finds the outcome and publishes the retry once more.
    assert {one.attempt for one in retries["5s"]} == {2}
    assert {one.attempt for one in retries.get("30s", [])} <= {1}


async def test_the_retry_that_its_sender_did_not_publish_is_published(world: Planting, senders: Senders) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, status="retrying", attempt=3, reason="http_503")
    await world.command(message_id, mailing_id, attempt=3, recover=True)

    await work_off(world, senders)

    assert (await world.found(message_id))["status"] == "retrying"
    retries = await world.retries()
    assert {name: [one.attempt for one in commands] for name, commands in retries.items()} == {"2m": [4]}


@pytest.mark.parametrize("status", ["failed", "unknown"])
async def test_the_dead_letter_that_its_sender_did_not_publish_is_published(
    world: Planting, senders: Senders, status: str
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, status=status, attempt=2, reason="http_400", due_at=None)
    await world.command(message_id, mailing_id, attempt=2, recover=True)

    await work_off(world, senders)

    [letter] = await world.letters()
    assert letter.command.message_id == message_id
    assert letter.headers["x-mailrun-reason"] == "http_400"
    assert letter.headers["x-mailrun-mailing-id"] == mailing_id


async def test_a_command_that_the_broker_delivers_again_recovers(world: Planting, senders: Senders) -> None:
    # Given a sender that took a command, claimed, and died
    mailing_id = await world.mailing(on_unknown=OnUnknown.HOLD)
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S)
    await world.command(message_id, mailing_id)
    await eventually(lambda: world.reader.take("messages.send"), "the command is there", within_s=30)
    await world.reader.close()

    await work_off(world, senders)

    assert (await world.found(message_id))["status"] == "unknown"


@pytest.mark.parametrize("recover", [False, True])
async def test_a_command_without_a_message_is_acked(world: Planting, senders: Senders, recover: bool) -> None:
    await world.command(2**62, 2**62, recover=recover)

    await work_off(world, senders)

    assert await world.retries() == {}
    assert await world.letters() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe not text",
        b"{}",
        b"[]",
        b'{"message_id": "1", "mailing_id": 1, "attempt": 1}',
        b'{"message_id": 99999999999999999999, "mailing_id": 1, "attempt": 1}',
        b'{"message_id": 1, "mailing_id": 1, "attempt": 0}',
        b"x" * 10_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_no_command_is_parked_as_it_came(world: Planting, senders: Senders, body: bytes) -> None:
    await world.bodies([body])

    await work_off(world, senders)

    [parked] = await world.letters()
    assert parked.body == body
    assert parked.headers["x-mailrun-parked"] is True
    assert parked.headers["x-mailrun-reason"]


async def test_a_claim_that_was_lost_during_the_call_sends_the_command_to_be_judged(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    """A sender that stalled: another one took its claim for outlived and recorded that, and a retry has claimed."""
    await set_faults(control, {"kind": "slow", "delay_s": 0.4})
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id)
    await world.command(message_id, mailing_id)

    async with senders.one():
        await eventually(lambda: _is_sending(world, message_id), "it is being sent", within_s=30, every_s=0.01)
        await world.documents["messages"].update_one(
            {"_id": message_id}, {"$set": {"attempt": 2, "ambiguous": True, "claim.token": "another"}}
        )
        await eventually(lambda: _called(control), "it was called", within_s=30)
    found = await world.found(message_id)

    assert (found["status"], found["claim"]["token"], found["attempts"]) == ("sending", "another", [])
    assert await world.ready() == 0
    assert await world.retries() == {}  # its own attempt is over: there is nothing that it could finish


async def _is_sending(world: Planting, message_id: int) -> bool:
    return bool((await world.found(message_id))["status"] == "sending")


async def _called(control: aiohttp.ClientSession) -> Any:
    return (await read_summary(control))["calls"]
