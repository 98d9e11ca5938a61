"""Wake-ups: events wake the scheduler; what is no event is parked with its reason, and never lost, whatever dies."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from services.scheduler.wakeups import PREFETCH, Wakeups
from shared.broker import consumer
from shared.broker.gateway import Gateway
from shared.broker.publications import event
from shared.broker.publisher import Publication, Publisher
from shared.broker.topology import WAKEUPS_QUEUE, ExchangeName
from shared.contracts.events import MailingEvent, MailingEventKind
from tests.integration.broker.relay import Relay
from tests.integration.sender.planting import Planting
from tests.support.eventually import eventually

PAUSED = MailingEvent(kind=MailingEventKind.PAUSED, mailing_id=1, at=datetime(2030, 1, 1, tzinfo=UTC))
POISON = {
    "empty": b"",
    "not JSON": b"\xff\xfe not text",
    "another thing": b"{}",
    "an unknown kind": PAUSED.to_body().replace(b"paused", b"painted"),
    "wrong types": PAUSED.to_body().replace(b"1,", b'"1",'),
    "no zone": PAUSED.to_body().replace(b"Z", b""),
    "utf-16": PAUSED.to_body().decode().encode("utf-16"),
    "nested": b"[" * 4_000,
    "10 MB": b"x" * 10_000_000,
}


@pytest.fixture
async def relay(module_amqp_url: str) -> AsyncIterator[Relay]:
    async with Relay(module_amqp_url) as relay:
        yield relay


class Woken:
    """Wake-ups at work, and what they doubted."""

    def __init__(self, gateway: Gateway, publisher: Publisher) -> None:
        self.doubts: list[str] = []
        self.wakeups = Wakeups(gateway, publisher, doubt=self._doubt)

    async def _doubt(self, why: str) -> None:
        self.doubts.append(why)

    async def __aenter__(self) -> "Woken":
        self._running = asyncio.create_task(self.wakeups.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert not self._running.done(), self._running
        self._running.cancel()
        await asyncio.wait([self._running])
        assert self._running.cancelled()

    async def until_woken(self) -> None:
        async with asyncio.timeout(30):
            await self.wakeups.woken.wait()


async def publish(world: Planting, body: bytes, routing_key: str = PAUSED.routing_key) -> None:
    await world.publisher.publish(Publication(ExchangeName.MAILINGS, routing_key, body), within_s=20)


async def until_parked(world: Planting, count: int) -> None:
    async def parked() -> bool:
        return await world.ready("messages.dead") >= count and await world.ready(WAKEUPS_QUEUE) == 0

    await eventually(parked, f"{count} are parked", within_s=60)


async def test_an_event_wakes_and_is_acked(world: Planting) -> None:
    await world.publisher.publish(event(PAUSED), within_s=20)
    async with Woken(world.gateway, world.publisher) as woken:
        await woken.until_woken()
    assert await world.ready(WAKEUPS_QUEUE) == 0
    assert await world.letters() == []
    assert woken.doubts == []


async def test_what_is_no_event_is_parked_as_it_came_and_holds_no_event_up(world: Planting) -> None:
    # Given more poison than is delivered at a time, and an event behind it
    for body in POISON.values():
        await publish(world, body)
    for at in range(2 * PREFETCH):
        await publish(world, f"noise {at}".encode())
    await world.publisher.publish(event(PAUSED), within_s=20)

    async with Woken(world.gateway, world.publisher) as woken:
        await woken.until_woken()
        await until_parked(world, len(POISON) + 2 * PREFETCH)

    letters = await world.letters()
    assert sorted(one.body for one in letters) == sorted(
        [*POISON.values(), *(f"noise {at}".encode() for at in range(2 * PREFETCH))]
    )
    assert all(one.headers["x-mailrun-parked"] is True and one.headers["x-mailrun-reason"] for one in letters)
    assert woken.doubts == ["body_parked"] * len(letters)


@pytest.mark.parametrize("routing_key", ["mailing.painted.v1", "mailing.resumed.v1", "mailing.paused.v2"])
async def test_an_event_under_another_routing_key_is_parked(world: Planting, routing_key: str) -> None:
    """Of a version or a kind that this scheduler does not know: its body may fit and mean something else."""
    channel = await world.gateway.channel()
    queue = await channel.get_queue(WAKEUPS_QUEUE, ensure=False)
    await queue.bind(ExchangeName.MAILINGS, routing_key)
    await publish(world, PAUSED.to_body(), routing_key)
    await queue.unbind(ExchangeName.MAILINGS, routing_key)
    await channel.close()

    async with Woken(world.gateway, world.publisher) as woken:
        await until_parked(world, 1)

    [letter] = await world.letters()
    assert letter.body == PAUSED.to_body()
    assert routing_key in letter.headers["x-mailrun-reason"]
    assert not woken.wakeups.woken.is_set()


async def test_what_cannot_be_parked_yet_is_not_acked(world: Planting, relay: Relay, module_amqp_url: str) -> None:
    # Given a broker that takes nothing from this scheduler
    await publish(world, b"noise")
    async with (
        Gateway(module_amqp_url, name="consuming", report=lambda _: None) as consuming,
        Gateway(relay.url, name="mute", report=lambda _: None) as mute,
    ):
        await mute.connection(within_s=30)
        relay.silence()
        async with Woken(consuming, Publisher(mute)):
            await eventually(lambda: _taken(world), "it is taken", within_s=30)
            assert await world.ready("messages.dead") == 0
        relay.cut()

    # Then, when it has died, it is there for the next one
    await eventually(lambda: _back(world), "it is back", within_s=30)
    async with Woken(world.gateway, world.publisher):
        await until_parked(world, 1)
    assert [one.body for one in await world.letters()] == [b"noise"]


async def test_losing_the_broker_in_the_middle_loses_nothing(world: Planting, relay: Relay) -> None:
    bodies = {f"noise {at}".encode() for at in range(200)}
    for body in bodies:
        await publish(world, body)
    async with (
        Gateway(relay.url, name="consuming", report=lambda _: None) as consuming,
        Gateway(relay.url, name="publishing", report=lambda _: None) as publishing,
        Woken(consuming, Publisher(publishing)),
    ):
        for least in (20, 60, 100):
            await eventually(lambda: _at_least(world, least), f"{least} are parked", within_s=60, every_s=0.01)  # noqa: B023
            relay.cut()
        await until_parked(world, len(bodies))
        await eventually(lambda: _settled(world), "nothing is under way", within_s=30)

    assert {one.body for one in await world.letters()} == bodies  # some of them twice, perhaps


async def test_a_queue_that_was_deleted_is_consumed_again(world: Planting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "SILENCE_S", 1.0)  # RabbitMQ 3.10 may not tell of it
    async with Woken(world.gateway, world.publisher) as woken:
        await world.publisher.publish(event(PAUSED), within_s=20)
        await woken.until_woken()
        channel = await world.gateway.channel()
        await channel.queue_delete(WAKEUPS_QUEUE)
        await channel.close()
        woken.wakeups.woken.clear()

        await world.publisher.publish(event(PAUSED), within_s=20)
        await woken.until_woken()


async def _taken(world: Planting) -> bool:
    return await world.ready(WAKEUPS_QUEUE) == 0


async def _back(world: Planting) -> bool:
    return await world.ready(WAKEUPS_QUEUE) == 1


async def _at_least(world: Planting, count: int) -> bool:
    return await world.ready("messages.dead") >= count


async def _settled(world: Planting) -> Any:
    """Whether nothing is ready, for a moment: what a lost channel held is back at once."""
    for _ in range(10):
        if await world.ready(WAKEUPS_QUEUE):
            return False
        await asyncio.sleep(0.05)
    return True
