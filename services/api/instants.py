"""Instants: RFC 3339 in, with an offset; UTC with `Z` and milliseconds out."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

RFC_3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,30}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)  # exclusive; leaves room for whatever is added to an instant


def parse_instant(text: object) -> datetime:
    """The instant that a text names, in UTC, cut to milliseconds, which is what the store keeps.

    Raises:
        ValueError: the text is no instant of RFC 3339, lacks its offset, or lies outside [EARLIEST, LATEST).
    """
    if isinstance(text, datetime):
        return text
    match = RFC_3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be an instant with an offset, such as 2030-01-31T09:00:00Z (RFC 3339)")
    day, time, fraction, offset = match.groups()
    milliseconds = f"{fraction or ''}000"[:3]
    zone = "+00:00" if offset in "Zz" else offset
    try:
        instant = datetime.fromisoformat(f"{day}T{time}.{milliseconds}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("there is no such instant") from error
    if not EARLIEST <= instant < LATEST:
        raise ValueError("must lie between the years 1970 and 9998")
    return instant


def format_instant(instant: datetime) -> str:
    """The instant as answers write it: 2030-01-31T09:00:00.000Z."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1_000:03}Z"


def later_than(instant: datetime | None, now: datetime) -> datetime:
    """`now`, or the millisecond after `instant` if that is later: the time of a change that follows another."""
    return now if instant is None else max(now, instant + timedelta(milliseconds=1))


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A field that holds an instant."""
