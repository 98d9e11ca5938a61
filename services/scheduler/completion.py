"""Completion: no message is open, so the mailing is over and its statistics are frozen. Also, what ended lately."""

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.happened import tell
from services.scheduler.tools import Tools
from shared.contracts.events import MailingEventKind
from shared.store.mailing_work import LeasedMailing

log = structlog.get_logger()


async def complete(leased: LeasedMailing, tools: Tools) -> Chunk | None:
    """Complete a mailing of which nothing is open; None when something is."""
    if await tools.store.messages.has_open(leased.mailing.id):
        return None
    now = tools.clock.now()
    statistics = await tools.store.statistics.whole(leased.mailing.id)
    if not await tools.store.mailing_work.complete(leased, statistics=statistics, now=now):
        return Chunk("complete", 0, look_at=now)
    log.info("mailing.completed", mailing_id=leased.mailing.id, counts=statistics["counts"])
    await tell(MailingEventKind.COMPLETED, leased.mailing.id, tools, now)
    return Chunk("complete", 0, look_at=None, released=True)


async def reopen_ended_lately(tools: Tools) -> None:
    """Look after open messages in mailings that are over: planned by a scheduler that was stopped and woke up."""
    now = tools.clock.now()
    for mailing in await tools.store.mailing_work.ended_lately(now):
        if await tools.store.messages.has_open(mailing.id):
            log.warning("mailing.reopened", mailing_id=mailing.id, status=mailing.status)
            await tools.store.mailing_work.look_again(mailing, now)
