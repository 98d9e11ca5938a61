"""Time zones with every kind of oddity, the instants at which their offset changes, and a slow local window.

What is here shares nothing with `shared.domain.window` but zoneinfo.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

ZONES = (
    "UTC",
    "Europe/Moscow",  # no changes now, some until 2014
    "Europe/Berlin",
    "Europe/Dublin",  # its summer is the standard time
    "America/New_York",
    "America/St_Johns",  # half an hour off; set its clocks at 00:01 until 2011
    "America/Sao_Paulo",  # skipped 00:00 to 01:00
    "Africa/Casablanca",  # two more changes for Ramadan
    "Africa/Cairo",  # back from midnight to 23:00
    "Antarctica/Troll",  # changes by two hours
    "Asia/Kathmandu",  # three quarters of an hour off
    "Asia/Pyongyang",  # half an hour west in 2015, back in 2018
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # has no 30 December 2011
    "Pacific/Chatham",
)
BEGIN = datetime(2005, 1, 1, tzinfo=UTC)
END = datetime(2031, 1, 1, tzinfo=UTC)


@cache
def offset_changes(zone_name: str) -> tuple[datetime, ...]:
    """Every instant between `BEGIN` and `END` at which the zone's offset changes, found by walking."""
    zone = ZoneInfo(zone_name)
    changes = []
    day = BEGIN
    while day < END:
        if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset():
            minutes = [day + number * MINUTE for number in range(24 * 60 + 1)]
            offsets = [minute.astimezone(zone).utcoffset() for minute in minutes]
            changes += [minutes[at] for at in range(1, len(minutes)) if offsets[at] != offsets[at - 1]]
        day += DAY
    return tuple(changes)


def shows_open(minutes_open: frozenset[int], at: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock on the wall shows one of these minutes of the day."""
    wall = at.astimezone(zone)
    return wall.hour * 60 + wall.minute in minutes_open


def minutes_between(start: int, end: int) -> frozenset[int]:
    """The minutes of the day from `start` up to and without `end`, over midnight if need be."""
    return frozenset(minute % 1440 for minute in range(start, end if end > start else end + 1440))


def walk(at: datetime) -> Iterator[datetime]:
    """`at`, then each whole minute after it, for eight days. In `ZONES` and since 2005, clocks change on whole ones."""
    yield at
    minute = at.astimezone(UTC).replace(second=0, microsecond=0)
    for _ in range(8 * 24 * 60):
        minute += MINUTE
        yield minute


def first_open(minutes_open: frozenset[int], at: datetime, zone: ZoneInfo) -> datetime:
    """The first of the instants of `walk` at which the window is open."""
    return next(instant for instant in walk(at) if shows_open(minutes_open, instant, zone))
