"""Local window: the hours of the day, on the client's own clock, in which a message may be delivered."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from shared.errors import InvalidInput

LOCAL_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
SEARCH_DAYS = 8  # a zone that skips a day, and a change of offset on each side of it, fit well inside


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """A half-open interval of wall-clock time, [start, end), that may pass midnight (22:00 to 06:00).

    Whether it is open at an instant is decided by what the client's clock shows at that instant, so an hour that
    comes twice counts twice and an hour that is skipped never comes.
    """

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise InvalidInput("local_window", "start and end must differ")
        for name, value in (("start", self.start), ("end", self.end)):
            if value.tzinfo is not None or value.second or value.microsecond:
                raise InvalidInput(f"local_window/{name}", "a local time is HH:MM, without an offset")

    def is_open(self, at: datetime, zone: tzinfo) -> bool:
        """Whether the clock of `zone` shows a time inside the window at the instant `at` (aware)."""
        shown = at.astimezone(zone).time()
        if self.start < self.end:
            return self.start <= shown < self.end
        return shown >= self.start or shown < self.end

    def opens_at(self, at: datetime, zone: tzinfo) -> datetime:
        """The first instant, at or after `at`, at which the window is open, in UTC.

        Between two changes of the UTC offset the window can only open when the clock shows `start`; a change itself
        may jump into the window. So it opens at `at`, or at the first showing of `start`, or at a change before that.

        Raises:
            ValueError: it does not open within `SEARCH_DAYS`, which no zone of the IANA database brings about.
        """
        at = at.astimezone(UTC)
        if self.is_open(at, zone):
            return at
        showings = [one for one in _showings(self.start, at, zone) if one >= at and self.is_open(one, zone)]
        if not showings:
            raise ValueError(f"the window {self.start}-{self.end} does not open in {zone}")
        changes = _offset_changes(at, min(showings), zone)
        return min(showings + [one for one in changes if one >= at and self.is_open(one, zone)])

    def closes_at(self, at: datetime, zone: tzinfo) -> datetime:
        """The first instant, at or after `at`, at which the window is closed, in UTC: the rest of the day is open then.

        Raises:
            ValueError: as for `opens_at`.
        """
        return LocalWindow(self.end, self.start).opens_at(at, zone)


def _showings(wall: time, at: datetime, zone: tzinfo) -> list[datetime]:
    """The instants around `at` and in the `SEARCH_DAYS` after it at which the clock of `zone` may show `wall`.

    Yesterday is among the days, because the clock may be set back over midnight (St. John's did so at 00:01), and
    each day comes twice, before and after a change (`fold`). A time that is skipped yields instants that show another.
    """
    today = at.astimezone(zone).date()
    days = [datetime.combine(today + timedelta(days=day), wall, zone) for day in range(-1, SEARCH_DAYS)]
    return [day.replace(fold=fold).astimezone(UTC) for day in days for fold in (0, 1)]


def _offset_changes(begin: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """The instants, whole seconds, at which the UTC offset of `zone` changes in the hours that [begin, end) touches."""
    begin = begin.replace(minute=0, second=0, microsecond=0)
    changes = []
    while begin < end:
        after = begin + timedelta(hours=1)
        if begin.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            changes.append(_offset_change(begin, after, zone))
        begin = after
    return changes


def _offset_change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """The second between two instants at which the offset of the earlier one ends."""
    offset = before.astimezone(zone).utcoffset()
    seconds_before, seconds_after = 0, int((after - before).total_seconds())
    while seconds_after - seconds_before > 1:
        middle = (seconds_before + seconds_after) // 2
        if (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            seconds_before = middle
        else:
            seconds_after = middle
    return before + timedelta(seconds=seconds_after)


def parse_local_time(field_name: str, text: str) -> time:
    """A wall-clock time written HH:MM.

    Raises:
        InvalidInput: it is written in any other way.
    """
    match = LOCAL_TIME.fullmatch(text)
    if match is None:
        raise InvalidInput(field_name, "a local time is HH:MM, from 00:00 to 23:59")
    return time(int(match[1]), int(match[2]))
