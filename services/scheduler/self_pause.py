"""Self-pause: a running mailing of which too many messages fail for good is paused, before all of its audience has.

Judged by what the senders tell of its last outcomes, which is advice and a second late. So the rest of those seconds
fails, too; and one that is over before they have passed completes instead.
"""

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.happened import tell
from services.scheduler.tools import Tools
from shared.contracts.events import MailingEventKind
from shared.domain.self_pause import self_pause_reason
from shared.store.mailing_work import LeasedMailing

log = structlog.get_logger()


async def pause_failing(leased: LeasedMailing, tools: Tools) -> Chunk | None:
    """Pause a running mailing that fails too often and has more to send; None when it may go on."""
    mailing = leased.mailing
    outcomes = await tools.store.outcomes.recent(mailing.id, mailing.generation)
    reason = self_pause_reason(outcomes, share=tools.limits.pause_failure_share)
    if reason is None or not await _has_more_to_send(leased, tools):
        return None
    now = tools.clock.now()
    if not await tools.store.mailing_work.pause(leased, reason=reason, now=now):
        return Chunk("self_pause", 0, look_at=now)  # it has changed meanwhile: look again, at what it is now
    log.warning("mailing.paused_itself", mailing_id=mailing.id, reason=reason)
    await tell(MailingEventKind.PAUSED, mailing.id, tools, now)
    return Chunk("self_pause", 0, look_at=now, released=True)


async def _has_more_to_send(leased: LeasedMailing, tools: Tools) -> bool:
    if leased.replays or (leased.fan_out is not None and not leased.fan_out.done):
        return True
    return await tools.store.messages.has_open(leased.mailing.id)
