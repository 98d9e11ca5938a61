"""Release and mend: messages whose moment has come get a send command.

Release: a message that waited for its window, or for the mailing to run. Mend: a message of which nothing has been
heard for long, so that its command must have been lost. `due_at` moves forward first, then the command is published:
a needless command claims nothing, and a lost one is mended again. This is what survives a wiped broker.
"""

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.commands import send_command
from services.scheduler.pace import paced_until
from services.scheduler.tools import PUBLISH_S, Tools
from shared.domain.message import QUEUED, RETRYING, SENDING, WAITING
from shared.store.mailing_work import LeasedMailing

log = structlog.get_logger()

MENDABLE = frozenset({QUEUED, RETRYING, SENDING})


async def release(leased: LeasedMailing, tools: Tools, *, limit: int) -> Chunk | None:
    """Queue waiting messages that are due; None when there is none."""
    now = tools.clock.now()
    due = await tools.store.messages.due(leased.mailing.id, statuses={WAITING}, now=now, limit=limit)
    if not due:
        return None
    message_ids = [one.id for one in due]
    await tools.store.message_statuses.release(message_ids, due_at=now + tools.limits.mend_after, now=now)
    commands = [send_command(one.id, leased.mailing, attempt=one.attempt + 1) for one in due]
    await tools.publisher.publish_all(commands, within_s=PUBLISH_S)
    tools.backpressure.published(len(commands))
    pace = paced_until(leased, published=len(commands), now=now)
    return Chunk("release", len(due), look_at=now, changes={"paced_until": pace})


async def mend(leased: LeasedMailing, tools: Tools, *, limit: int) -> Chunk | None:
    """Publish recovering commands for messages that nothing has been heard of; None when there is none."""
    now = tools.clock.now()
    due = await tools.store.messages.due(leased.mailing.id, statuses=MENDABLE, now=now, limit=limit)
    if not due:
        return None
    await tools.store.message_statuses.put_off(due, due_at=now + tools.limits.mend_after)
    commands = [
        send_command(
            one.id,
            leased.mailing,
            attempt=one.attempt if one.status is SENDING else one.attempt + 1,
            recover=True,
        )
        for one in due
    ]
    await tools.publisher.publish_all(commands, within_s=PUBLISH_S)
    tools.backpressure.published(len(commands))
    log.info("messages.mended", mailing_id=leased.mailing.id, count=len(due))
    pace = paced_until(leased, published=len(commands), now=now)
    return Chunk("mend", len(due), look_at=now, changes={"paced_until": pace})
