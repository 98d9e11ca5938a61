"""Start: a mailing whose time has come runs. Close: one whose end has passed is over. One replica wins each."""

from datetime import datetime

import structlog

from services.scheduler.tools import Tools
from shared.errors import MailrunError

log = structlog.get_logger()


async def start_due(tools: Tools) -> int:
    """Start every mailing that is due; how many were started here."""
    now = tools.clock.now()
    due = await tools.store.mailing_work.due_to_start(now)
    started = 0
    for mailing_id in due:
        try:
            started += await _start(mailing_id, tools, now)
        except MailrunError:
            raise
        except Exception:
            log.exception("start.failed", mailing_id=mailing_id)  # and the others are started all the same
    return started


async def _start(mailing_id: int, tools: Tools, now: datetime) -> bool:
    upper_id = await tools.store.clients.greatest_id()
    mailing = await tools.store.mailing_work.start(mailing_id, upper_id=upper_id, now=tools.clock.now())
    if mailing is None:
        return False
    log.info("mailing.started", mailing_id=mailing_id, delay_ms=_delay_ms(mailing.start_at, now), upper_id=upper_id)
    return True


async def close_due(tools: Tools) -> None:
    """Take note of every mailing whose end has passed."""
    closed = await tools.store.mailing_work.close_due(tools.clock.now())
    if closed:
        log.info("mailings.closed", count=closed)


def _delay_ms(start_at: datetime | None, now: datetime) -> int | None:
    return round((now - start_at).total_seconds() * 1_000) if start_at else None
