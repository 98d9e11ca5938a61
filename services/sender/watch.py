"""Watch: what a sender has to look at from time to time, since nobody tells it: its fellows, and a pause for all."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from services.sender.rate import Rate
from shared.broker.queues import DepthReader
from shared.broker.topology import SEND_QUEUE
from shared.errors import BrokerUnavailable, StoreUnavailable

SENDERS_EVERY_S = 0.5
PAUSE_EVERY_S = 1.0

log = structlog.get_logger()


class PauseReader(Protocol):
    """Whoever knows until when the provider has asked any sender to be left alone."""

    async def paused_until(self) -> datetime | None: ...


async def watch_senders(rate: Rate, reader: DepthReader) -> None:
    """Tell the rate how many senders share it, until cancelled. When the broker is away, the last number holds."""
    while rate.is_shared:
        try:
            rate.see_senders((await reader.depth(SEND_QUEUE)).consumers)
        except BrokerUnavailable as error:
            log.info("senders.not_counted", error=str(error))
        except Exception:
            log.exception("senders.not_counted")
        await asyncio.sleep(SENDERS_EVERY_S)


async def watch_pause(state: PauseReader, pause: Callable[[datetime], None]) -> None:
    """Obey a pause that another sender was asked for within a second, claims or not, until cancelled."""
    while True:
        try:
            if (until := await state.paused_until()) is not None:
                pause(until)
        except StoreUnavailable:
            pass  # whoever needs the store says so, and reads this before the next call
        except Exception:
            log.exception("pause.not_read")
        await asyncio.sleep(PAUSE_EVERY_S)
