"""Decide: what becomes of a claimed message, by its mailing and its client as they are now. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.sender.task import START_LIMIT_S, ClaimedTask
from shared.domain.client import zone
from shared.domain.mailing import RUNNING, Mailing
from shared.domain.text import MAX_RENDERED_CHARACTERS, MissingAttribute, Template, TextTooLong

START_LIMIT = timedelta(seconds=START_LIMIT_S)


@dataclass(frozen=True, slots=True)
class Park:
    """Not now: why, and when to look at it again."""

    reason: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Not to this client any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Never: the text cannot be made for this client."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Go:
    """Deliver this text, before an instant where one is given: the client's window closes while the claim may start."""

    text: str
    closes_at: datetime | None = None


Decision = Park | Cancel | Fail | Go


def decide(
    claimed: ClaimedTask,
    mailing: Mailing | None,
    attributes: Mapping[str, str] | None,
    template: Template | None,
    now: datetime,
) -> Decision:
    """What becomes of a claimed message.

    Args:
        mailing: as it is now; None when it was removed.
        attributes: the client's, as they are now; None when the client is gone or has opted out.
        template: the mailing's text, parsed.
    """
    if mailing is None or template is None:
        return Cancel("mailing_deleted")
    if mailing.closed_at is not None or (mailing.end_at is not None and mailing.end_at <= now):
        return Park("mailing_ended", now)
    if mailing.status is not RUNNING:
        return Park(f"mailing_{mailing.status}", now)
    if attributes is None:
        return Cancel("client_gone")
    closes_at: datetime | None = None
    if (window := mailing.local_window) is not None:
        client_zone = zone(claimed.message.timezone)
        if not window.is_open(now, client_zone):
            return Park("window_closed", window.opens_at(now, client_zone))
        if not window.is_open(now + START_LIMIT, client_zone):
            closes_at = window.closes_at(now, client_zone)
    try:
        # What the client was when the message was planned comes first; an edited text may use more than was kept.
        return Go(template.render({**attributes, **claimed.message.fields}), closes_at)
    except MissingAttribute as error:
        return Fail("missing_attribute", f"the client has no attribute {error.name}")
    except TextTooLong as error:
        limit = MAX_RENDERED_CHARACTERS
        return Fail(
            "text_too_long", f"with the client's attributes it has {error.characters} characters, above {limit}"
        )
