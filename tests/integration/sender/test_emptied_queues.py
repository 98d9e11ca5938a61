"""A scheduler and two senders at work while their queues are deleted or purged: the mailing completes all the same.

`tests/e2e/test_mending.py` has the same with processes, each queue by itself, and with the whole broker wiped.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import aiohttp
import pytest
from aio_pika.exceptions import AMQPError

from services.scheduler.backpressure import Backpressure
from services.scheduler.dead_letters import DeadLetterWatch
from services.scheduler.loop import run_turns
from services.scheduler.tools import Limits, Tools
from services.scheduler.wakeups import Wakeups
from shared.broker import consumer
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.broker.queues import QueueReader
from shared.broker.topology import TOPOLOGY
from shared.contracts.commands import SendCommand
from shared.errors import BrokerUnavailable
from shared.runtime.clock import SystemClock
from shared.store.doubts import Doubts
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_entries, set_faults

MEND_AFTER = timedelta(seconds=2)
CLIENTS, REFUSED, PUT_OFF = 60, 10, 20


@asynccontextmanager
async def scheduling(world: Planting, amqp_url: str) -> AsyncIterator[DeadLetterWatch]:
    """A scheduler at work; its look at the dead letters is left to the test."""
    clock, stop, report = SystemClock(), asyncio.Event(), lambda _: None
    async with Gateway(amqp_url, name="scheduler", report=report) as gateway:
        limits = Limits(chunk_clients=20, max_attempts=6, mend_after=MEND_AFTER, tick=timedelta(seconds=0.2))
        backpressure = Backpressure(QueueReader(gateway), clock, least_commands=50)
        tools = Tools(world.store, Publisher(gateway), backpressure, clock, limits)
        doubts = Doubts(world.store.dead_letter_state, now=clock.now, report_store=report)
        wakeups = Wakeups(gateway, tools.publisher, doubt=doubts.raise_one)
        waking = asyncio.create_task(wakeups.run())
        turning = asyncio.create_task(
            run_turns(tools, owner="a scheduler", woken=wakeups.woken, stop=stop, report=report)
        )
        try:
            yield DeadLetterWatch(tools, QueueReader(gateway), differ_s=0)
        finally:
            stop.set()
            await turning
            waking.cancel()
            await asyncio.wait([waking])


@pytest.mark.parametrize("how", ["queue_delete", "queue_purge"])
async def test_a_mailing_completes_although_all_queues_are_emptied(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    module_amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setattr(consumer, "SILENCE_S", 1.0)
    # Given a mailing that runs, some of it refused for good, and some once
    client_ids = await world.clients(CLIENTS)
    phones = [int(f"7{client_id:010}") for client_id in client_ids]
    await set_faults(
        control,
        {"kind": "status", "code": 400, "for_phones": phones[:REFUSED]},
        *(
            {"kind": "status", "code": 429, "for_phones": [one], "times": 1}
            for one in phones[REFUSED : REFUSED + PUT_OFF]
        ),
        {"kind": "slow", "delay_s": 0.1},
    )
    mailing_id = await world.mailing(rate_per_s=20.0, fan_out={"upper_id": 0, "cursor": 0, "done": True})
    await world.messages(mailing_id, client_ids, status="waiting", reason="window_closed", due_at=SystemClock().now())

    async with (
        scheduling(world, module_amqp_url) as watch,
        senders.one(mend_after=MEND_AFTER, concurrency=4),
        senders.one(mend_after=MEND_AFTER, concurrency=4),
    ):
        await eventually(lambda: has(world, mailing_id, sent=5), "it runs", within_s=30)

        # When every queue is emptied, twice
        for _ in range(2):
            for queue in TOPOLOGY.queues:
                channel = await (await world.gateway.channel()).get_underlay_channel()
                with suppress(AMQPError):  # it may not have been declared again yet
                    await getattr(channel, how)(queue.name)
                await channel.close()
            await asyncio.sleep(0.5)

        # Then it completes: who was refused for good is failed (or unknown: on a slow machine a call may time out)
        await eventually(lambda: is_completed(world, mailing_id), "it completes", within_s=120)
        found = [one async for one in world.documents["messages"].find({"mailing_id": mailing_id})]
        dead = {one["_id"] for one in found if one["status"] in ("failed", "unknown")}
        assert {one["client_id"] for one in found if one["_id"] in dead} == set(client_ids[:REFUSED])
        assert sum(one["status"] == "sent" for one in found) == CLIENTS - REFUSED

        # And the dead letters are those of the messages that failed, of this mailing and those before
        all_dead = {"status": {"$in": ["failed", "unknown"]}}
        long_ago = SystemClock().now() - timedelta(minutes=1)  # else they are left to their senders for a while
        await world.documents["messages"].update_many(all_dead, {"$set": {"updated_at": long_ago}})
        expected = Counter([one["_id"] async for one in world.documents["messages"].find(all_dead, {"_id": 1})])

        async def exact() -> bool:
            await world.documents["state"].update_one({"_id": "dead_letters"}, {"$set": {"looked_at": None}})
            with suppress(BrokerUnavailable):
                await watch.look()
            return Counter(await letters(world)) == expected

        await eventually(exact, "the dead letters are true", within_s=60, every_s=0.5)

    # And nobody got two, unless it is said of him
    ambiguous = {int(one["phone"]) for one in found if one["ambiguous"]}
    accepted = Counter(one["phone"] for one in await read_entries(control) if one["accepted"])
    assert accepted.keys() == set(phones[REFUSED:])
    assert {phone for phone, times in accepted.items() if times > 1} <= ambiguous


async def is_completed(world: Planting, mailing_id: int) -> bool:
    return (await world.mailing_document(mailing_id))["status"] == "completed"


async def has(world: Planting, mailing_id: int, **least: int) -> bool:
    statuses = await world.statuses(mailing_id)
    return all(statuses.get(status, 0) >= count for status, count in least.items())


async def letters(world: Planting) -> list[int]:
    """The messages of the entries, which return to their queue."""
    reader, found = QueueReader(world.gateway), []
    try:
        while (taken := await reader.take("messages.dead")) is not None:
            found.append(taken)
    finally:
        await reader.close()
    await eventually(lambda: back(world, len(found)), "they are back", within_s=20)
    return [SendCommand.from_body(one.body).message_id for one in found]


async def back(world: Planting, count: int) -> bool:
    return await world.ready("messages.dead") == count
