"""Run a sender: `python -m services.sender`. Reads the settings and wires; any number of these may run."""

import asyncio
import os
import socket
from datetime import timedelta

import structlog

from services.sender.pipeline import Pipeline, Tuning
from services.sender.provider.http_provider import HttpProvider
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health, HealthServer
from shared.runtime.service import run_service
from shared.runtime.settings import Settings
from shared.runtime.stopping import until_stopped
from shared.store.store import Store

log = structlog.get_logger()


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Wire a sender and run it until the stop."""
    name = f"sender@{socket.gethostname()}:{os.getpid()}"
    health = Health()
    report_store = health.reporter("store")
    report_provider = health.reporter("provider")
    report_provider("up")  # until it says otherwise
    store = Store(str(settings.mongo_url), settings.mongo_database)
    pages = HealthServer(health, host=settings.health_host, port=settings.sender_health_port)
    await pages.start()
    try:
        async with (
            Gateway(settings.amqp_url, name=f"{name} (consuming)", report=health.reporter("broker")) as consuming,
            Gateway(settings.amqp_url, name=f"{name} (publishing)", report=health.reporter("publishing")) as publishing,
            HttpProvider(
                str(settings.provider_url),
                token=settings.provider_token,
                concurrency=settings.provider_concurrency,
                timeout_s=settings.provider_timeout_s,
                refusal_statuses=settings.refusal_statuses,
            ) as provider,
        ):
            if await until_stopped(store.prepare(report_store), stop):
                return
            tuning = Tuning(
                sender=name,
                concurrency=settings.provider_concurrency,
                rate_per_s=settings.provider_rate_per_s,
                batch_size=settings.sender_batch_size,
                batch_wait_s=settings.sender_batch_wait_ms / 1_000,
                mend_after=timedelta(seconds=settings.scheduler_mend_after_s),
                refusal_statuses=settings.refusal_statuses,
            )
            pipeline = Pipeline(
                store,
                consuming,
                Publisher(publishing),
                provider,
                SystemClock(),
                tuning,
                report_store=report_store,
                report_provider=report_provider,
            )
            log.info("sender.started", sender=name)
            await pipeline.run(stop, stop_within_s=settings.sender_stop_s)
    finally:
        await pages.stop()
        store.close()
        log.info("sender.stopped", sender=name)


if __name__ == "__main__":
    run_service("sender", main)
