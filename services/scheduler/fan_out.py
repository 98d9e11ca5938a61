"""Fan-out: the next clients of a mailing -> messages in the store -> send commands -> cursor forward.

The cursor moves last, under the lease. Whatever dies in between, the chunk is done again: second messages meet the
unique key, and second commands claim nothing.
"""

import asyncio
from datetime import datetime, tzinfo

import structlog

from services.scheduler.chunk import Chunk
from services.scheduler.commands import send_command
from services.scheduler.pace import paced_until
from services.scheduler.tools import PUBLISH_S, Limits, Tools
from shared.domain.client import Client, zone
from shared.domain.message import EXPIRED, QUEUED, WAITING, MessageStatus
from shared.domain.text import parse_text
from shared.store.mailing_work import LeasedMailing
from shared.store.message_documents import PlannedMessage

SEQUENCE = "messages"
PLAN_S = 10.0  # no further part is begun later: with the publishing of the last two, the lease is still ours
PART_CLIENTS = 200  # of a chunk, planned while those before are published; more at a time would overlap less

log = structlog.get_logger()


async def fan_out(leased: LeasedMailing, tools: Tools, *, limit: int) -> Chunk:
    """Plan the next at most `limit` clients. After the end they are planned as expired, so everybody has a status.

    Part by part: the store takes the messages of one while the broker takes the commands of the one before. Where that
    takes long, the chunk ends early.
    """
    position = leased.fan_out
    if position is None:
        raise ValueError(f"mailing {leased.mailing.id} has not started")
    now = tools.clock.now()
    began_s = tools.clock.monotonic_s()
    planner = Planner(leased, tools.limits, now=now)
    found = await tools.store.clients.audience_chunk(
        leased.mailing.audience, after_id=position.cursor, up_to_id=position.upper_id, limit=limit
    )
    first_id = await tools.store.sequences.reserve(SEQUENCE, len(found.clients)) if found.clients else 0
    cursor, planned, commanded = position.cursor, 0, 0
    publishing: asyncio.Task[bool] | None = None
    try:
        while planned < len(found.clients) and (not planned or tools.clock.monotonic_s() < began_s + PLAN_S):
            part = found.clients[planned : planned + PART_CLIENTS]
            messages = [planner.plan(first_id + planned + at, client) for at, client in enumerate(part)]
            queued = await tools.store.message_statuses.plan(messages, now)
            if publishing is not None:
                await publishing
            commands = [send_command(message_id, leased.mailing, attempt=1) for message_id in queued]
            publishing = asyncio.create_task(tools.publisher.publish_all(commands, within_s=PUBLISH_S))
            cursor, planned, commanded = part[-1].id, planned + len(part), commanded + len(queued)
        if planned == len(found.clients):
            cursor = found.looked_up_to
        if publishing is not None:
            await publishing
    finally:
        if publishing is not None:
            publishing.cancel()  # where it has not ended, the chunk is done again
    tools.backpressure.published(commanded)
    return Chunk(
        "fan_out",
        planned,
        look_at=now,
        changes={
            "fan_out__cursor": cursor,
            "fan_out__done": cursor >= position.upper_id,
            "paced_until": paced_until(leased, published=commanded, now=now),
        },
    )


class Planner:
    """Decides what becomes of each client of one chunk."""

    def __init__(self, leased: LeasedMailing, limits: Limits, *, now: datetime) -> None:
        self._leased = leased
        self._limits = limits
        self._now = now
        self._attributes = parse_text(leased.mailing.text).attributes
        self._opens_at: dict[str, datetime] = {}

    def plan(self, message_id: int, client: Client) -> PlannedMessage:
        """The message of one client."""
        status, due_at, reason = self._standing(client)
        return PlannedMessage(
            id=message_id,
            mailing_id=self._leased.mailing.id,
            client_id=client.id,
            phone=client.phone,
            operator_code=client.operator_code,
            tags=client.tags,
            timezone=client.timezone,
            fields={name: value for name, value in client.attributes.items() if name in self._attributes},
            status=status,
            due_at=due_at,
            last_attempt=self._limits.max_attempts,
            reason=reason,
        )

    def _standing(self, client: Client) -> tuple[MessageStatus, datetime | None, str | None]:
        if self._leased.is_closed:
            return EXPIRED, None, "mailing_ended"
        try:
            opens_at = self._window_opens_at(client.timezone)
        except Exception:
            # One client must not stop the fan-out: the sender looks at the window again, and fails the message.
            log.exception("window.unreadable", mailing_id=self._leased.mailing.id, client_id=client.id)
            opens_at = self._now
        if opens_at > self._now:
            return WAITING, opens_at, "window_closed"
        return QUEUED, self._now + self._limits.mend_after, None

    def _window_opens_at(self, timezone: str) -> datetime:
        window = self._leased.mailing.local_window
        if window is None:
            return self._now
        if timezone not in self._opens_at:
            client_zone: tzinfo = zone(timezone)
            self._opens_at[timezone] = window.opens_at(self._now, client_zone)
        return self._opens_at[timezone]
