"""Replay: failed and unknown messages of a mailing go out again."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.api.access import current_request_id
from services.api.identifiers import LARGEST_ID, PathId
from services.api.incoming import StrictBody, StrictRoute
from services.api.mailings import CHANGE_TRIES, PATH, busy
from services.api.parts import PreparedParts
from services.api.problems import invalid
from shared.contracts.events import MailingEventKind
from shared.domain.client import check_text
from shared.domain.mailing import COMPLETED, PAUSED, RUNNING, Mailing, has_ended
from shared.domain.message import DEAD, MessageStatus
from shared.errors import Conflict
from shared.store.mailing_documents import Replay

MAX_MESSAGE_IDS = 10_000
MAX_REASON_CHARACTERS = 200
REPLAYABLE = frozenset({RUNNING, PAUSED, COMPLETED})

log = structlog.get_logger()
router = APIRouter(prefix=PATH, tags=["mailings"], route_class=StrictRoute)


Replayable = Annotated[
    MessageStatus,
    Field(strict=False, examples=["failed"], json_schema_extra={"enum": sorted(status.value for status in DEAD)}),
]


class ReplayBody(StrictBody):
    """Which messages go out again; what is not given does not narrow."""

    statuses: list[Replayable] | None = Field(None, max_length=len(MessageStatus))
    reason: str | None = Field(None, description="only messages with this reason", examples=["http_503"])
    message_ids: list[Annotated[int, Field(ge=1, le=LARGEST_ID)]] | None = Field(
        None, min_length=1, max_length=MAX_MESSAGE_IDS, fail_fast=True, description="only these messages"
    )

    def to_replay(self, asked_at: datetime) -> Replay:
        """
        Raises:
            InvalidInput, Refusal: a status that cannot be replayed, or a reason that no message has.
        """
        for place, status in enumerate(self.statuses or ()):
            if status not in DEAD:
                raise invalid(f"/statuses/{place}", "only failed and unknown messages can be replayed")
        if self.reason is not None:
            check_text("reason", self.reason, max_characters=MAX_REASON_CHARACTERS)
        statuses = tuple(sorted(set(self.statuses or DEAD)))
        return Replay(asked_at, statuses, self.reason, tuple(dict.fromkeys(self.message_ids or ())))


class ReplayView(BaseModel):
    """A replay that was asked for."""

    replaying: int = Field(description="number of messages that matched when it was asked for", examples=[17])


@router.post("/{mailing_id}/replay", status_code=202, summary="Send failed and unknown messages again")
async def replay(mailing_id: PathId, parts: PreparedParts, body: ReplayBody | None = None) -> ReplayView:
    wanted = body or ReplayBody()
    for _ in range(CHANGE_TRIES):
        seen = await parts.store.mailings.get(mailing_id)
        now = parts.clock.now()
        asked = wanted.to_replay(now)
        _check_replayable(seen, now)
        replaying = await parts.store.messages.count(
            mailing_id, asked.statuses, reason=asked.reason, message_ids=asked.message_ids
        )
        if not replaying:
            return ReplayView(replaying=0)
        mailing = await parts.store.mailings.ask_replay(seen, asked, now, request_id=current_request_id())
        if mailing is not None:
            log.info("mailing.replay_requested", mailing_id=mailing_id, replaying=replaying, reason=asked.reason)
            parts.events.happened(MailingEventKind.REPLAY_REQUESTED, mailing_id, now)
            return ReplayView(replaying=replaying)
    raise busy(mailing_id)


def _check_replayable(mailing: Mailing, now: datetime) -> None:
    """
    Raises:
        Conflict: the mailing has not run, was cancelled, or has ended.
    """
    if mailing.status not in REPLAYABLE:
        raise Conflict(f"mailing_{mailing.status}", f"a mailing that is {mailing.status} cannot be replayed")
    if has_ended(mailing, now):
        raise Conflict("mailing_ended", "the mailing's end has passed, so nothing can be sent again")
