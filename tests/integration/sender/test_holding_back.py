"""Given a sender that may not call, then it keeps two commands for its probes, and another sender sends the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import aiohttp
import pytest

from services.sender.prefetch import PROBE_PREFETCH, least_prefetch
from shared.broker.queues import QueueReader
from shared.broker.topology import SEND_QUEUE
from tests.integration.sender.crowd import in_agreement, plant, until_all_sent, until_called
from tests.integration.sender.planting import Planting, now
from tests.integration.sender.running import Sender, Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import RunningProvider, read_summary, set_faults

COUNT = 200
SMALL = {"concurrency": 16, "batch_size": 40, "batch_wait_s": 0.01}
NOBODY = "http://127.0.0.1:9"  # discard: nothing listens there


@pytest.fixture
async def cut_off(module_amqp_url: str, world: Planting) -> AsyncIterator[Senders]:
    """Senders that cannot reach the provider."""
    async with Senders.over(module_amqp_url, world.store, NOBODY) as senders:
        yield senders


async def until_it_holds_only_probes(sender: Sender) -> None:
    async def holds() -> bool:
        return sender.pipeline._consumer.prefetch == PROBE_PREFETCH and sender.holds <= PROBE_PREFETCH

    await eventually(holds, "it holds no more than its probes", within_s=30, every_s=0.02)


async def test_what_a_sender_that_is_cut_off_holds_is_sent_by_another(
    world: Planting, senders: Senders, control: aiohttp.ClientSession, cut_off: Senders
) -> None:
    mailing_id = await plant(world, COUNT)

    async def most_are_sent() -> bool:
        return (await world.statuses(mailing_id)).get("sent", 0) >= COUNT * 0.8

    async with cut_off.one(**SMALL) as unlucky:
        await until_it_holds_only_probes(unlucky)
        assert "no_connection" in unlucky.told["provider"]
        async with senders.one(**SMALL):
            await eventually(most_are_sent, "another sender sends them", within_s=30)
            await unlucky.stop()  # its probes are put off by 5 s each
            await until_all_sent(world, mailing_id, COUNT)
    await in_agreement(world, control, mailing_id, COUNT)
    assert await world.documents["messages"].count_documents({"mailing_id": mailing_id, "attempt": {"$ne": 1}}) == 0


async def test_a_sender_that_may_call_again_takes_its_share_again(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    await set_faults(control, {"kind": "status", "code": 403})
    mailing_id = await plant(world, COUNT)
    async with senders.one(**SMALL) as sender:
        await until_it_holds_only_probes(sender)
        assert "http_403" in sender.told["provider"]
        await set_faults(control)

        async def is_back() -> bool:
            return sender.pipeline._consumer.prefetch >= least_prefetch(16)

        await eventually(is_back, "it takes its share again", within_s=15)
        assert sender.told["provider"] == "up"
        await until_all_sent(world, mailing_id, COUNT)
    assert await world.documents["messages"].count_documents({"mailing_id": mailing_id, "attempt": {"$ne": 1}}) == 0


async def test_a_pause_that_another_sender_was_asked_for_is_seen_without_a_claim(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    """Before, a sender learned of it with its next claim: it kept what it held, and called what it had claimed."""
    await set_faults(control, {"kind": "slow", "delay_s": 0.6})
    mailing_id = await plant(world, COUNT)
    async with senders.one(**SMALL) as sender:
        await until_called(control, 20)
        await world.store.provider_state.pause(now() + timedelta(seconds=15))
        await until_it_holds_only_probes(sender)  # or two whose calls are under way

        async def none_is_called() -> bool:
            return set(await world.statuses(mailing_id)) == {"sent", "queued"}

        await eventually(none_is_called, "no call is under way", within_s=10, every_s=0.02)
        # It makes 27 calls a second, and learns of it within one.
        assert (await world.statuses(mailing_id))["queued"] > COUNT / 4
        await set_faults(control)
        await until_all_sent(world, mailing_id, COUNT)
    await in_agreement(world, control, mailing_id, COUNT)


async def test_a_probe_that_hangs_does_not_hide_that_the_provider_is_back(
    module_amqp_url: str, fake: RunningProvider, world: Planting, control: aiohttp.ClientSession
) -> None:
    """It is called for 25 s at most; before the next one, that is."""
    await set_faults(control, {"kind": "status", "code": 403})
    mailing_id = await plant(world, COUNT)
    async with (
        Senders.over(module_amqp_url, world.store, fake.address, timeout_s=60.0) as patient,
        patient.one(stop_within_s=0.1, **SMALL) as sender,
    ):
        await until_it_holds_only_probes(sender)
        called = (await read_summary(control))["calls"]
        await until_called(control, called + PROBE_PREFETCH)  # nothing is left of what it held before
        await set_faults(control, {"kind": "hang"})

        async def one_hangs() -> bool:
            return bool((await read_summary(control))["in_flight"])

        await eventually(one_hangs, "a probe hangs", within_s=15, every_s=0.02)
        hanging = {"mailing_id": mailing_id, "status": "sending"}
        first = await world.documents["messages"].find_one(hanging, sort=[("claim.at", 1)])
        await set_faults(control)

        async def is_back() -> bool:
            return sender.told["provider"] == "up"

        await eventually(is_back, "the next probe finds it back", within_s=20)
        assert await world.documents["messages"].find_one(hanging | {"_id": first["_id"]}), "not the end of the first"


async def test_the_broker_tells_how_many_share_the_rate(world: Planting, senders: Senders) -> None:
    limit = {"rate_per_s": 60.0}

    def shares(*some: Sender) -> list[float | None]:
        return [one.pipeline._rate.per_s(0.0) for one in some]

    async with senders.one(**limit) as first, senders.one(**limit) as second:
        await eventually(_is([30.0, 30.0], lambda: shares(first, second)), "two share it", within_s=30)
        async with senders.one(**limit) as third:
            await eventually(_is([20.0] * 3, lambda: shares(first, second, third)), "three share it", within_s=30)
        await eventually(_is([30.0, 30.0], lambda: shares(first, second)), "two share it again", within_s=30)
    reader = QueueReader(senders.consuming)
    assert (await reader.depth(SEND_QUEUE)).consumers == 0
    await reader.close()


def _is(expected: list[float], seen: Callable[[], list[float | None]]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return seen() == expected

    return look
