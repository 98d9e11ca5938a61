"""Replay: failed and unknown messages go out again, as an operator has asked for.

The request lies in the mailing until all that it names is queued; attempts are numbered on. Their dead letters are
stale then: that is noted before every chunk, and once more when the request is done, so that no walk comes too early.
"""

from services.scheduler.chunk import Chunk
from services.scheduler.commands import send_command
from services.scheduler.pace import paced_until
from services.scheduler.tools import PUBLISH_S, Tools
from shared.store.mailing_work import LeasedMailing


async def replay(leased: LeasedMailing, tools: Tools, *, limit: int) -> Chunk:
    """Queue the next messages of the oldest request; the request is done when there is none."""
    now = tools.clock.now()
    request = leased.replays[0]
    wanted = [] if leased.is_closed else await tools.store.messages.to_replay(leased.mailing.id, request, limit=limit)
    await tools.store.dead_letter_state.doubt(now, why="replay")
    if not wanted:
        await tools.store.mailing_work.finish_replay(leased, request, look_at=now)
        return Chunk("replay", 0, look_at=now, released=True)
    await tools.store.message_statuses.replay(
        [one.id for one in wanted],
        attempts=tools.limits.max_attempts,
        asked_at=request.asked_at,
        due_at=now + tools.limits.mend_after,
        now=now,
    )
    commands = [send_command(one.id, leased.mailing, attempt=one.attempt + 1) for one in wanted]
    await tools.publisher.publish_all(commands, within_s=PUBLISH_S)
    tools.backpressure.published(len(commands))
    pace = paced_until(leased, published=len(commands), now=now)
    return Chunk("replay", len(wanted), look_at=now, changes={"paced_until": pace})
