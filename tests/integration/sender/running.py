"""Running senders in the test's own process, over real broker, store and provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

from services.sender.pipeline import Pipeline, Tuning
from services.sender.provider.http_provider import HttpProvider
from shared.broker.delivery import Delivery
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.runtime.clock import SystemClock
from shared.store.store import Store
from tests.integration.sender.planting import Planting
from tests.support.eventually import eventually

REFUSAL_STATUSES = frozenset({429, 500, 503})


@dataclass
class Sender:
    """One that works."""

    pipeline: Pipeline
    asked_to_stop: asyncio.Event
    told: dict[str, str]
    running: "asyncio.Task[None]" = field(init=False)
    deliveries: int = 0

    @property
    def holds(self) -> int:
        """Tasks in its hand."""
        return len(self.pipeline._hand)

    def count_deliveries(self) -> None:
        take_over = self.pipeline._intake.take_over

        def take_over_and_count(delivery: Delivery) -> None:
            take_over(delivery)
            self.deliveries += 1

        self.pipeline._consumer._on_delivery = take_over_and_count

    async def stop(self) -> float:
        """Stop it; how long that took, seconds."""
        loop = asyncio.get_running_loop()
        began_at_s = loop.time()
        self.asked_to_stop.set()
        await self.running
        return loop.time() - began_at_s


@dataclass
class Senders:
    """Starts senders over connections that they share."""

    store: Store
    consuming: Gateway
    publisher: Publisher
    provider: HttpProvider

    @classmethod
    @asynccontextmanager
    async def over(
        cls, amqp_url: str, store: Store, provider_address: str, *, timeout_s: float = 1.0, concurrency: int = 64
    ) -> AsyncIterator[Self]:
        async with (
            Gateway(amqp_url, name="consuming", report=lambda _: None) as consuming,
            Gateway(amqp_url, name="publishing", report=lambda _: None) as publishing,
            HttpProvider(
                f"{provider_address}/v1",
                token="",
                concurrency=concurrency,
                timeout_s=timeout_s,
                refusal_statuses=REFUSAL_STATUSES,
            ) as provider,
        ):
            yield cls(store, consuming, Publisher(publishing), provider)

    @asynccontextmanager
    async def one(self, *, stop_within_s: float = 10.0, **tuning: Any) -> AsyncIterator[Sender]:
        """A sender at work; stopped gracefully at the end, unless it has been stopped already."""
        values: dict[str, Any] = {
            "sender": "a sender",
            "concurrency": 16,
            "rate_per_s": None,
            "batch_size": 50,
            "batch_wait_s": 0.01,
            "mend_after": timedelta(seconds=60),
            "refusal_statuses": REFUSAL_STATUSES,
        }
        told: dict[str, str] = {}
        pipeline = Pipeline(
            self.store,
            self.consuming,
            self.publisher,
            self.provider,
            SystemClock(),
            Tuning(**(values | tuning)),
            report_store=lambda state: told.update(store=state),
            report_provider=lambda state: told.update(provider=state),
        )
        sender = Sender(pipeline, asyncio.Event(), told)
        sender.count_deliveries()
        sender.running = asyncio.create_task(pipeline.run(sender.asked_to_stop, stop_within_s=stop_within_s))
        try:
            yield sender
            if not sender.asked_to_stop.is_set():
                await sender.stop()
        finally:
            sender.running.cancel()
            await asyncio.wait([sender.running])


async def work_off(world: Planting, senders: Senders, *, within_s: float = 15.0, **tuning: Any) -> Sender:
    """Have a sender handle every command that was planted, and see that it has let go of all of them."""

    async def is_done() -> bool:
        return sender.deliveries >= world.published and sender.holds == 0

    async with senders.one(**tuning) as sender:
        await eventually(is_done, "all commands are handled", within_s=within_s, every_s=0.01)
    assert await world.ready() == 0
    return sender
