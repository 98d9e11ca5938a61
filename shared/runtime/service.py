"""Service: how every process of Mailrun begins and ends."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop
from pydantic import ValidationError

from shared.runtime.logs import configure_logs
from shared.runtime.settings import Settings
from shared.runtime.stopping import stop_on_signals

USAGE_STATUS = 2
FAILURE_STATUS = 1

log = structlog.get_logger()


def settings_or_exit() -> Settings:
    """The settings; a line for each variable that is wrong, and the end of the process, where one is."""
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {problem['msg']}\n")
        sys.exit(USAGE_STATUS)


def run_service(name: str, main: Callable[[Settings, asyncio.Event], Awaitable[None]]) -> None:
    """Read the settings, set up the logs, and run `main` until it returns after SIGTERM or SIGINT has set its event.

    Ends the process with 0 when it returns, with 1 and a logged reason when it raises, with 2 when a setting is wrong.
    """
    settings = settings_or_exit()
    configure_logs(name, level=settings.log_level, log_format=settings.log_format)

    # What was imported lives as long as the process: not to be looked through for garbage, again and again (a twentieth
    # of a sender's CPU).
    gc.collect()
    gc.freeze()

    async def run() -> None:
        await main(settings, stop_on_signals())

    try:
        uvloop.run(run())
    except OSError as error:
        log.error("service.failed", error=str(error))  # noqa: TRY400 - a port that is taken: one line says it all
        sys.exit(FAILURE_STATUS)
    except Exception:
        log.exception("service.failed")
        sys.exit(FAILURE_STATUS)
