"""Poison: a document that nobody can read costs its own message, and neither the sender nor anybody else's."""

import gzip
import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from shared.broker.publisher import Publication
from shared.broker.topology import SEND_QUEUE, ExchangeName
from tests.integration.sender.planting import Planting, now
from tests.integration.sender.running import Senders, work_off
from tests.unit.fake_provider.running import read_entries

OUTLIVED_S = 31.0
COMMAND = {"message_id": 1, "mailing_id": 1, "attempt": 1}
TEXT = json.dumps(COMMAND)
BODIES = {
    "10 MB": b"x" * 10_000_000,
    "10 MB of JSON": json.dumps(COMMAND | {"note": "x" * 10_000_000}).encode(),
    "utf-16": TEXT.encode("utf-16"),
    "utf-8 with a mark": TEXT.encode("utf-8-sig"),
    "gzip": gzip.compress(TEXT.encode()),
    "nested": b"[" * 4_000,
    "cut": TEXT.encode()[:-1],
    "two": TEXT.encode() * 2,
    "nothing but a zero byte": b"\x00",
    "a truth for a number": json.dumps(COMMAND | {"attempt": True}).encode(),
    "a broken number": json.dumps(COMMAND | {"attempt": 1.5}).encode(),
    "no number": b'{"message_id": NaN, "mailing_id": 1, "attempt": 1}',
    "null": b"null",
}


async def work_off_with_company(world: Planting, senders: Senders, control: aiohttp.ClientSession) -> None:
    """Handle what was planted together with sound messages, and see that those arrive."""
    mailing_id = await world.mailing(text="sound")
    message_ids = await world.messages(mailing_id, await world.clients(5))
    await world.commands(message_ids, mailing_id)

    await work_off(world, senders, batch_wait_s=0.2)

    assert await world.statuses(mailing_id) == {"sent": 5}
    assert sum(call["text"] == "sound" for call in await read_entries(control)) == 5


@pytest.mark.parametrize(
    "broken",
    [{"status": "half-done"}, {"audience": "everybody"}, {"text": "Hello {"}, {"text": 7}, {"on_unknown": "guess"}],
    ids=str,
)
async def test_a_mailing_that_cannot_be_read_parks_its_messages_and_says_why(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, broken: dict[str, Any]
) -> None:
    mailing_id = await world.mailing(local_window=None)
    await world.set_mailing(mailing_id, **broken)
    message_ids = await world.messages(mailing_id, await world.clients(3))
    await world.commands(message_ids, mailing_id)

    await work_off_with_company(world, senders, control)

    assert await world.statuses(mailing_id) == {"waiting": 3}
    found = await world.found(message_ids[0])
    assert (found["reason"], found["attempt"]) == ("mailing_unreadable", 0)
    assert found["due_at"] > now() + timedelta(minutes=1)


async def test_a_claimed_message_that_cannot_be_read_is_left_to_the_scheduler(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id)
    await world.documents["messages"].update_one({"_id": message_id}, {"$unset": {"timezone": ""}})
    await world.command(message_id, mailing_id)

    await work_off_with_company(world, senders, control)

    found = await world.found(message_id)
    assert found["status"] == "sending"
    assert found["due_at"] > now() + timedelta(seconds=60)  # then it is looked after: nothing is lost


async def test_a_message_in_no_known_status_does_not_keep_others_from_being_judged(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, status="half-done", attempt=1)
    outlived_id = await world.claimed(mailing_id, age_s=OUTLIVED_S)
    await world.commands([message_id, outlived_id], mailing_id, recover=True)

    await work_off_with_company(world, senders, control)

    assert (await world.found(outlived_id))["status"] == "retrying"
    assert (await world.found(message_id))["status"] == "half-done"


async def test_a_zone_that_cannot_be_read_fails_its_message_with_its_reason(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing(local_window=None)
    await world.set_mailing(mailing_id, local_window={"start": "00:00", "end": "23:59"})
    message_id = await world.message(mailing_id, timezone="Mars/Olympus_Mons")
    await world.command(message_id, mailing_id)

    await work_off_with_company(world, senders, control)

    found = await world.found(message_id)
    assert (found["status"], found["reason"]) == ("failed", "check_failed")
    assert "Mars/Olympus_Mons" in found["attempts"][0]["error"]
    [letter] = await world.letters()
    assert letter.headers["x-mailrun-reason"] == "check_failed"


async def test_a_phone_that_is_no_number_fails_its_message_without_a_call(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, phone="none")
    await world.command(message_id, mailing_id)

    await work_off_with_company(world, senders, control)

    found = await world.found(message_id)
    assert (found["status"], found["reason"], found["ambiguous"]) == ("failed", "unsendable", False)


async def test_an_outlived_claim_of_a_mailing_that_cannot_be_read_is_never_called_again(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    mailing_id = await world.mailing()
    await world.set_mailing(mailing_id, on_unknown="guess")
    message_id = await world.claimed(mailing_id, age_s=OUTLIVED_S)
    await world.command(message_id, mailing_id, recover=True)

    await work_off_with_company(world, senders, control)

    assert (await world.found(message_id))["status"] == "unknown"


async def test_bodies_that_are_no_commands_are_parked_as_they_came_and_hold_nobody_up(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await world.bodies(BODIES.values())

    await work_off_with_company(world, senders, control)

    letters = await world.letters()
    assert sorted(letter.body for letter in letters) == sorted(BODIES.values())
    for letter in letters:
        assert letter.headers["x-mailrun-parked"] is True
        assert letter.headers["x-mailrun-reason"]
        assert "x-mailrun-mailing-id" not in letter.headers
    assert (await world.documents["state"].find_one({"_id": "dead_letters"}))["doubts"] >= len(BODIES)


async def test_a_command_of_another_version_is_parked_although_its_body_fits(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    # Given a command of the next version that somebody has bound to our queue
    channel = await world.gateway.channel()
    queue = await channel.get_queue(SEND_QUEUE, ensure=False)
    await queue.bind(ExchangeName.MESSAGES, "message.send.v2")
    await world.publisher.publish(Publication(ExchangeName.MESSAGES, "message.send.v2", TEXT.encode()), within_s=10)
    world.published += 1
    await queue.unbind(ExchangeName.MESSAGES, "message.send.v2")
    await channel.close()

    await work_off_with_company(world, senders, control)

    [letter] = await world.letters()
    assert (letter.body, letter.headers["x-mailrun-parked"]) == (TEXT.encode(), True)
    assert "message.send.v2" in letter.headers["x-mailrun-reason"]


async def test_a_dead_letter_that_is_published_for_a_dead_sender_leaves_a_doubt(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    """The dead one may have published it, too: then there are two."""
    mailing_id = await world.mailing()
    message_id = await world.message(mailing_id, status="failed", attempt=2, reason="http_400", due_at=None)
    before = (await world.documents["state"].find_one({"_id": "dead_letters"}) or {}).get("doubts", 0)
    await world.command(message_id, mailing_id, attempt=2, recover=True)

    await work_off_with_company(world, senders, control)

    assert [letter.command.message_id for letter in await world.letters()] == [message_id]
    state = await world.documents["state"].find_one({"_id": "dead_letters"})
    assert (state["doubts"], state["doubted_why"]) == (before + 1, "letter_published_again")
