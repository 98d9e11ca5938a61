"""Lifecycle: launch, pause, resume and cancel. Which status leads where: `shared.domain.mailing`."""

from datetime import datetime

import structlog
from fastapi import APIRouter, Response

from services.api.access import current_request_id
from services.api.identifiers import PathId
from services.api.incoming import StrictRoute
from services.api.mailing_rules import default_times
from services.api.mailing_views import MailingView
from services.api.mailings import CHANGE_TRIES, PATH, busy, mailing_answer
from services.api.parts import Parts, PreparedParts
from shared.contracts.events import MailingEventKind
from shared.domain.mailing import Action, status_after
from shared.errors import Conflict

EVENTS = {
    Action.LAUNCH: MailingEventKind.SCHEDULED,
    Action.PAUSE: MailingEventKind.PAUSED,
    Action.RESUME: MailingEventKind.RESUMED,
    Action.CANCEL: MailingEventKind.CANCELLED,
}

log = structlog.get_logger()
router = APIRouter(prefix=PATH, tags=["mailings"], route_class=StrictRoute)


@router.post("/{mailing_id}/launch", summary="Launch a draft", response_model=MailingView)
async def launch(mailing_id: PathId, parts: PreparedParts) -> Response:
    return await _act(Action.LAUNCH, mailing_id, parts)


@router.post("/{mailing_id}/pause", summary="Pause; what is unsent waits for the resume", response_model=MailingView)
async def pause(mailing_id: PathId, parts: PreparedParts) -> Response:
    return await _act(Action.PAUSE, mailing_id, parts)


@router.post("/{mailing_id}/resume", summary="Resume a paused mailing", response_model=MailingView)
async def resume(mailing_id: PathId, parts: PreparedParts) -> Response:
    return await _act(Action.RESUME, mailing_id, parts)


@router.post("/{mailing_id}/cancel", summary="Cancel; nothing unsent is sent any more", response_model=MailingView)
async def cancel(mailing_id: PathId, parts: PreparedParts) -> Response:
    return await _act(Action.CANCEL, mailing_id, parts)


async def _act(action: Action, mailing_id: int, parts: Parts) -> Response:
    """Carry an action out, looking again whenever the mailing changes at the same time.

    Raises:
        Conflict: the mailing, as it then stands, does not allow it, or it changed all the time.
    """
    for _ in range(CHANGE_TRIES):
        seen = await parts.store.mailings.get(mailing_id)
        now = parts.clock.now()
        status = status_after(action, seen, now)
        if status is None:
            return await mailing_answer(seen, parts)
        times: dict[str, datetime] = {}
        if action is Action.LAUNCH:
            times["start_at"], times["end_at"] = default_times(seen, now)
            if times["end_at"] <= now:
                raise Conflict("mailing_ended", "the mailing would end before it could be launched")
        mailing = await parts.store.mailings.change(
            seen, now, status=status, times=times, request_id=current_request_id()
        )
        if mailing is not None:
            log.info(f"mailing.{EVENTS[action]}", mailing_id=mailing_id, status=status, status_before=seen.status)
            parts.events.happened(EVENTS[action], mailing_id, now)
            return await mailing_answer(mailing, parts)
    raise busy(mailing_id)
