"""Run a scheduler: `python -m services.scheduler`. Reads the settings and wires; any number of these may run."""

import asyncio
import os
import socket
from datetime import timedelta

import structlog

from services.scheduler.backpressure import LEAST_COMMANDS, Backpressure
from services.scheduler.dead_letters import DeadLetterWatch
from services.scheduler.loop import run_turns, watch_dead_letters, watch_ended, watch_topology
from services.scheduler.tools import Limits, Tools
from services.scheduler.wakeups import Wakeups
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.broker.queues import QueueReader
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health, HealthServer
from shared.runtime.service import run_service
from shared.runtime.settings import Settings
from shared.runtime.stopping import until_stopped
from shared.store.doubts import Doubts
from shared.store.store import Store

log = structlog.get_logger()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Wire a scheduler and run it until the stop."""
    owner = f"scheduler@{socket.gethostname()}:{os.getpid()}"
    health = Health()
    clock = SystemClock()
    report_store = health.reporter("store")
    store = Store(str(settings.mongo_url), settings.mongo_database)
    pages = HealthServer(health, host=settings.health_host, port=settings.scheduler_health_port)
    await pages.start()
    try:
        async with (
            Gateway(settings.amqp_url, name=owner, report=health.reporter("broker")) as gateway,
            Gateway(settings.amqp_url, name=f"{owner} (events)", report=health.reporter("events")) as events,
        ):
            if await until_stopped(store.prepare(report_store), stop):
                return
            backpressure = Backpressure(QueueReader(gateway), clock, least_commands=LEAST_COMMANDS)
            limits = Limits(
                chunk_clients=settings.scheduler_chunk_clients,
                max_attempts=settings.sender_max_attempts,
                mend_after=timedelta(seconds=settings.scheduler_mend_after_s),
                tick=timedelta(seconds=settings.scheduler_tick_s),
                pause_failure_share=settings.mailing_pause_failure_share,
            )
            tools = Tools(store, Publisher(gateway), backpressure, clock, limits)
            watch = DeadLetterWatch(tools, QueueReader(gateway), differ_s=settings.scheduler_dead_letters_after_s)
            doubts = Doubts(store.dead_letter_state, now=clock.now, report_store=report_store)
            wakeups = Wakeups(events, tools.publisher, doubt=doubts.raise_one)
            log.info("scheduler.started", owner=owner)
            async with asyncio.TaskGroup() as group:
                beside = [
                    group.create_task(wakeups.run()),
                    group.create_task(watch_dead_letters(watch, stop)),
                    group.create_task(watch_ended(tools, stop)),
                    group.create_task(watch_topology(events, stop)),
                ]
                await run_turns(tools, owner=owner, woken=wakeups.woken, stop=stop, report=report_store)
                for one in beside:
                    one.cancel()  # a walk over many dead letters can be left in the middle
    finally:
        await pages.stop()
        store.close()
        log.info("scheduler.stopped", owner=owner)


if __name__ == "__main__":
    run_service("scheduler", main)
