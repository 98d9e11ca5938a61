"""From the body of a mailing to a mailing that obeys the rules, and from a patch to the fields that it changes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.api.mailing_views import AudienceBody, LocalWindowBody, MailingBody
from services.api.merge_patch import merged
from services.api.problems import invalid
from services.api.validated import validated
from shared.domain.audience import Audience, check_audience
from shared.domain.client import check_text
from shared.domain.mailing import (
    DEFAULT_DURATION,
    DRAFT,
    EDITABLE_UNTIL_CLOSED,
    EDITABLE_UNTIL_RUNNING,
    MAX_NAME_CHARACTERS,
    SCHEDULED,
    Mailing,
    check_editable,
    check_times,
)
from shared.domain.message import OnUnknown
from shared.domain.text import parse_text
from shared.domain.window import LocalWindow, parse_local_time
from shared.errors import InvalidInput

EDITABLE = EDITABLE_UNTIL_RUNNING | EDITABLE_UNTIL_CLOSED


def mailing_of(body: MailingBody, now: datetime, on_unknown: OnUnknown) -> Mailing:
    """The mailing that a body asks for, still without an id. A draft's times stay open until its launch.

    Args:
        on_unknown: the policy of a mailing that names none.

    Raises:
        InvalidInput, Refusal: a field breaks a rule. Times are left to `check_interval`.
    """
    if body.name:
        check_text("name", body.name, max_characters=MAX_NAME_CHARACTERS)
    parse_text(body.text)
    mailing = Mailing(
        id=0,
        name=body.name,
        text=body.text,
        audience=_audience(body.audience),
        start_at=body.start_at,
        end_at=body.end_at,
        local_window=_window(body.local_window),
        rate_per_s=body.rate_per_s,
        on_unknown=on_unknown if body.on_unknown is None else body.on_unknown,
        status=DRAFT if body.draft else SCHEDULED,
    )
    if body.draft:
        return mailing
    start_at, end_at = default_times(mailing, now)
    return replace(mailing, start_at=start_at, end_at=end_at)


def default_times(mailing: Mailing, now: datetime) -> tuple[datetime, datetime]:
    """Start and end of a mailing; where it has none, now and `DEFAULT_DURATION` after the start."""
    start_at = mailing.start_at or now
    return start_at, mailing.end_at or start_at + DEFAULT_DURATION


def check_interval(mailing: Mailing, now: datetime) -> None:
    """Whether start and end, as far as there are any, leave time to deliver.

    Raises:
        InvalidInput: the end is not after the start, or not in the future.
    """
    if mailing.start_at is not None and mailing.end_at is not None:
        check_times(mailing.start_at, mailing.end_at, now)
    elif mailing.end_at is not None and mailing.end_at <= now:
        raise InvalidInput("end_at", "must be in the future")


def edits_of(seen: Mailing, patch: Mapping[str, Any], now: datetime, on_unknown: OnUnknown) -> dict[str, Any]:
    """The fields that a merge patch gives other values, checked as those of a new mailing.

    Args:
        on_unknown: the policy that null stands for.

    Raises:
        InvalidInput, Refusal: the mailing that would result breaks a rule.
        Conflict: a field cannot be changed as the mailing stands.
    """
    wanted = mailing_of(validated(MailingBody, merged(_document(seen), patch)), now, on_unknown)
    edits = {name: getattr(wanted, name) for name in EDITABLE if getattr(wanted, name) != getattr(seen, name)}
    if edits:
        check_editable(seen, frozenset(edits), now)
    if edits.keys() & {"start_at", "end_at"}:
        check_interval(wanted, now)
    return edits


def _document(mailing: Mailing) -> dict[str, Any]:
    """What a patch is applied to: the fields of a body. Those without a value are absent, so null changes nothing."""
    audience, window = mailing.audience, mailing.local_window
    document: dict[str, Any] = {name: getattr(mailing, name) for name in EDITABLE}
    document["audience"] = {
        "operator_codes": list(audience.operator_codes),
        "tags": list(audience.tags),
        "everyone": audience.everyone,
    }
    document["local_window"] = window and {"start": f"{window.start:%H:%M}", "end": f"{window.end:%H:%M}"}
    document["draft"] = mailing.status is DRAFT
    return {name: value for name, value in document.items() if value is not None}


def _audience(body: AudienceBody) -> Audience:
    if not body.operator_codes and not body.tags and not body.everyone:
        message = 'name operator_codes or tags, or say "everyone": true'
        raise invalid("/audience", message, code="audience_missing")
    return check_audience(body.operator_codes, body.tags, everyone=body.everyone)


def _window(body: LocalWindowBody | None) -> LocalWindow | None:
    if body is None:
        return None
    return LocalWindow(
        parse_local_time("local_window/start", body.start), parse_local_time("local_window/end", body.end)
    )
