"""The API service: `python -m services.api`. Reads the settings and wires; any number of these may run."""

import asyncio
import os
import socket
import sys

import structlog
import uvloop

from services.api.application import create_application
from services.api.counts import CountsReader
from services.api.events import Events
from services.api.parts import Parts
from services.api.server import listen, serve
from services.api.store_watch import StoreWatch
from shared.broker.gateway import Gateway
from shared.broker.publisher import Publisher
from shared.domain.message import OnUnknown
from shared.runtime.clock import SystemClock
from shared.runtime.health import Health
from shared.runtime.logs import configure_logs
from shared.runtime.service import settings_or_exit
from shared.runtime.settings import Settings
from shared.runtime.stopping import stop_on_signals
from shared.store.store import Store

log = structlog.get_logger()


async def run(settings: Settings, listening: socket.socket, stop: asyncio.Event) -> None:
    """Wire an API and serve it until the stop. Neither store nor broker need be there.

    Raises:
        Exception: the store is there and can never be worked with: a wrong password, an index that contradicts
            another.
    """
    name = f"api@{socket.gethostname()}:{os.getpid()}"
    health = Health()
    store = Store(str(settings.mongo_url), settings.mongo_database)
    watch = StoreWatch(store, health)
    try:
        async with (
            Gateway(settings.amqp_url, name=name, report=health.reporter("broker")) as gateway,
            Events(Publisher(gateway)) as events,
        ):
            parts = Parts(
                store=store,
                store_watch=watch,
                counts=CountsReader(store.statistics),
                events=events,
                clock=SystemClock(),
                health=health,
                on_unknown=OnUnknown.RESEND if settings.provider_deduplicates else OnUnknown.HOLD,
            )
            application = create_application(parts, max_body_bytes=settings.api_max_body_bytes)
            preparing = asyncio.create_task(_prepare(watch, stop), name="prepare store")
            await serve(application, listening, stop)
            if preparing.done():
                preparing.result()
            preparing.cancel()
            await asyncio.gather(preparing, return_exceptions=True)
    finally:
        await asyncio.to_thread(store.close)  # it says goodbye to the server, and waits for it
        log.info("api.stopped")


async def _prepare(watch: StoreWatch, stop: asyncio.Event) -> None:
    """Prepare the store, however long it is away. If it never can be, serving ends."""
    try:
        await watch.prepare()
    except Exception:
        stop.set()
        raise


async def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    try:
        listening = listen(settings.api_host, settings.api_port)
    except OSError as error:
        address = f"{settings.api_host}:{settings.api_port}"
        log.error("api.cannot_listen", address=address, why=error.strerror)  # noqa: TRY400 - one line says it all
        return 1
    try:
        await run(settings, listening, stop_on_signals())
    except Exception:
        log.exception("api.failed")
        return 1
    return 0


if __name__ == "__main__":
    from_environment = settings_or_exit()
    configure_logs("api", level=from_environment.log_level, log_format=from_environment.log_format)
    sys.exit(uvloop.run(main(from_environment)))
