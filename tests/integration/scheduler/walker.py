"""A process that walks the dead letters, again and again, until it is killed: `python -m ... AMQP MONGO DATABASE`."""

import asyncio
import sys
from datetime import timedelta
from typing import Any

from services.scheduler import walk
from services.scheduler.dead_letters import DeadLetterWatch
from services.scheduler.tools import Limits, Tools
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.broker.queues import QueueReader
from shared.runtime.clock import SystemClock
from shared.store.store import Store

BATCH = 3


async def main(amqp_url: str, mongo_url: str, database: str) -> None:
    walk.BATCH = BATCH
    store = Store(mongo_url, database)
    limits = Limits(chunk_clients=1, max_attempts=1, mend_after=timedelta(seconds=60), tick=timedelta(seconds=1))
    none: Any = None
    async with Gateway(amqp_url, name="walker", report=lambda _: None) as gateway:
        tools = Tools(store, Publisher(gateway), none, SystemClock(), limits)
        watch = DeadLetterWatch(tools, QueueReader(gateway), differ_s=0)
        lease = await store.dead_letter_state.lease(tools.clock.now(), every_s=-60, lease_s=60)
        assert lease is not None
        await gateway.connection(within_s=30)
        print("walking", flush=True)
        while True:
            await watch._walk(lease, tools.clock.now())
            lease = await store.dead_letter_state.lease(tools.clock.now(), every_s=-60, lease_s=60)
            assert lease is not None


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
