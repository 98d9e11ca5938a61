"""Local windows, a day at a time: the edges, midnight, and what each kind of clock change does to them."""

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest

from shared.domain.window import LocalWindow, parse_local_time
from shared.errors import InvalidInput

MOSCOW = ZoneInfo("Europe/Moscow")
NEW_YORK = ZoneInfo("America/New_York")


def window(text: str) -> LocalWindow:
    start, end = text.split("-")
    return LocalWindow(parse_local_time("start", start), parse_local_time("end", end))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "shown", "is_open"),
    [
        ("09:00-21:00", "08:59:59.999999", False),
        ("09:00-21:00", "09:00:00.000000", True),
        ("09:00-21:00", "20:59:59.999999", True),
        ("09:00-21:00", "21:00:00.000000", False),
        ("22:00-06:00", "21:59:59.999999", False),
        ("22:00-06:00", "22:00:00.000000", True),
        ("22:00-06:00", "23:59:59.999999", True),
        ("22:00-06:00", "00:00:00.000000", True),
        ("22:00-06:00", "05:59:59.999999", True),
        ("22:00-06:00", "06:00:00.000000", False),
        ("09:00-00:00", "23:59:59.999999", True),
        ("09:00-00:00", "00:00:00.000000", False),
        ("00:00-09:00", "00:00:00.000000", True),
        ("00:00-09:00", "23:59:59.999999", False),
        ("12:00-12:01", "12:00:59.999000", True),
        ("12:00-12:01", "12:01:00.000000", False),
        ("12:01-12:00", "12:00:59.999000", False),
        ("12:01-12:00", "12:01:00.000000", True),
    ],
)
def test_a_window_includes_its_start_and_excludes_its_end(hours: str, shown: str, is_open: bool) -> None:
    at = datetime.fromisoformat(f"2026-03-01T{shown}").replace(tzinfo=MOSCOW).astimezone(UTC)
    assert window(hours).is_open(at, MOSCOW) is is_open


@pytest.mark.parametrize(
    ("zone_name", "hours", "at", "opens_at"),
    [
        # An open window opens now, to the microsecond.
        ("Europe/Moscow", "09:00-21:00", "2026-03-01T06:00:00.001", "2026-03-01T06:00:00.001"),
        # Later today, tomorrow, and before a midnight that the window passes.
        ("Europe/Moscow", "09:00-21:00", "2026-03-01T05:59:59.999", "2026-03-01T06:00"),
        ("Europe/Moscow", "09:00-21:00", "2026-03-01T18:00", "2026-03-02T06:00"),
        ("Europe/Moscow", "22:00-06:00", "2026-03-01T03:00", "2026-03-01T19:00"),
        ("Asia/Kathmandu", "09:00-21:00", "2026-03-01T00:00", "2026-03-01T03:15"),
        # New York skips 02:00 to 03:00 on 8 March 2026, at 07:00 UTC.
        ("America/New_York", "02:30-05:00", "2026-03-08T06:00", "2026-03-08T07:00"),
        ("America/New_York", "02:00-05:00", "2026-03-08T06:00", "2026-03-08T07:00"),
        ("America/New_York", "03:00-05:00", "2026-03-08T06:00", "2026-03-08T07:00"),
        ("America/New_York", "02:15-02:45", "2026-03-08T06:00", "2026-03-09T06:15"),
        ("America/New_York", "01:30-03:00", "2026-03-08T07:00", "2026-03-09T05:30"),
        # New York has 01:00 to 02:00 twice on 1 November 2026; the second time begins at 06:00 UTC.
        ("America/New_York", "01:30-01:45", "2026-11-01T05:00", "2026-11-01T05:30"),
        ("America/New_York", "01:30-01:45", "2026-11-01T05:45", "2026-11-01T06:30"),
        ("America/New_York", "01:30-01:45", "2026-11-01T06:45", "2026-11-02T06:30"),
        ("America/New_York", "00:30-01:30", "2026-11-01T05:30", "2026-11-01T06:00"),
        ("America/New_York", "02:00-05:00", "2026-11-01T05:59:59.5", "2026-11-01T07:00"),
        # Lord Howe goes back from 02:00 to 01:30 on 5 April 2026, at 15:00 UTC of the day before.
        ("Australia/Lord_Howe", "01:15-01:45", "2026-04-04T14:45", "2026-04-04T15:00"),
        ("Australia/Lord_Howe", "01:50-02:00", "2026-04-04T15:00", "2026-04-04T15:20"),
        # Sao Paulo began its summers at midnight: 4 November 2018 began at 01:00.
        ("America/Sao_Paulo", "00:30-08:00", "2018-11-04T02:59", "2018-11-04T03:00"),
        ("America/Sao_Paulo", "00:00-00:30", "2018-11-04T02:59", "2018-11-05T02:00"),
        # Cairo ends its summers at midnight, when 29 October 2026 has its last hour once more.
        ("Africa/Cairo", "23:30-23:45", "2026-10-29T20:45", "2026-10-29T21:30"),
        # St. John's went back at 00:01, when its clocks had shown another day for a minute.
        ("America/St_Johns", "23:30-23:45", "2010-11-07T02:30:30", "2010-11-07T03:00"),
        ("America/St_Johns", "23:00-23:30", "2010-11-07T02:30:30", "2010-11-07T02:31"),
        ("America/St_Johns", "00:30-02:00", "2010-03-14T03:15", "2010-03-14T03:31"),
        # Apia has no 30 December 2011: after the 29th, at 10:00 UTC of the 30th, comes the 31st.
        ("Pacific/Apia", "09:00-18:00", "2011-12-30T04:00", "2011-12-30T19:00"),
        ("Pacific/Apia", "00:00-18:00", "2011-12-30T04:00", "2011-12-30T10:00"),
    ],
)
def test_a_window_opens_at_the_first_instant_that_the_clock_shows_inside_it(
    zone_name: str, hours: str, at: str, opens_at: str
) -> None:
    assert window(hours).opens_at(utc(at), ZoneInfo(zone_name)) == utc(opens_at)


def test_an_hour_that_comes_twice_counts_twice() -> None:
    # Given the window's only quarter of an hour in the hour that New York has twice
    quarter = window("01:30-01:45")
    midnight = utc("2026-11-01T04:00")

    # When every minute of that night is looked at
    minutes = [midnight + timedelta(minutes=minute) for minute in range(5 * 60)]
    open_minutes = [minute for minute in minutes if quarter.is_open(minute, NEW_YORK)]

    # Then it is open for a quarter of an hour twice, an hour apart
    assert len(open_minutes) == 30
    assert (open_minutes[0], open_minutes[15]) == (utc("2026-11-01T05:30"), utc("2026-11-01T06:30"))


def test_the_same_instant_written_with_another_offset_is_the_same_instant() -> None:
    at = utc("2026-03-01T18:00")
    elsewhere = at.astimezone(timezone(timedelta(hours=-7)))
    opens_at = window("09:00-21:00").opens_at(elsewhere, MOSCOW)
    assert opens_at == utc("2026-03-02T06:00")
    assert opens_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("hours", "zone", "at", "closes_at"),
    [
        ("09:00-21:00", MOSCOW, "2026-03-01T12:00", "2026-03-01T18:00"),
        ("09:00-21:00", MOSCOW, "2026-03-01T17:59", "2026-03-01T18:00"),
        ("09:00-21:00", MOSCOW, "2026-03-01T18:00", "2026-03-01T18:00"),  # closed
        ("22:00-02:00", MOSCOW, "2026-03-01T20:00", "2026-03-01T23:00"),  # over midnight
        ("01:15-02:30", NEW_YORK, "2026-03-08T06:30", "2026-03-08T07:00"),  # the clock jumps from 02:00 to 03:00
    ],
)
def test_a_window_closes_at_the_first_instant_that_the_clock_shows_outside_it(
    hours: str, zone: tzinfo, at: str, closes_at: str
) -> None:
    assert window(hours).closes_at(utc(at), zone) == utc(closes_at)


class StoppedClock(tzinfo):
    """A clock that shows noon for ever."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _: datetime | None) -> str:
        return "noon"

    def fromutc(self, _: datetime) -> datetime:
        return datetime(2026, 1, 1, 12, tzinfo=self)


def test_the_search_for_an_opening_ends_even_where_there_is_none() -> None:
    with pytest.raises(ValueError, match="does not open"):
        window("09:00-10:00").opens_at(utc("2026-01-01T12:00"), StoppedClock())


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (time(9), time(9), "local_window"),
        (time(0), time(0), "local_window"),
        (time(9, 0, 1), time(21), "local_window/start"),
        (time(9, 0, 0, 1), time(21), "local_window/start"),
        (time(9), time(21, 0, 1), "local_window/end"),
        (time(9), time(21, 0, 0, 1), "local_window/end"),
        (time(9, tzinfo=UTC), time(21), "local_window/start"),
        (time(9), time(21, tzinfo=UTC), "local_window/end"),
    ],
)
def test_a_window_has_a_length_and_whole_minutes_without_an_offset(start: time, end: time, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        LocalWindow(start, end)
    assert refused.value.field == field


def test_every_minute_of_the_day_can_be_written() -> None:
    for minute in range(24 * 60):
        wall = time(minute // 60, minute % 60)
        assert parse_local_time("local_window/start", wall.isoformat("minutes")) == wall


@pytest.mark.parametrize(
    "text",
    [
        *("", "9:00", "09:0", "24:00", "23:60", "09:00:00", "09.00", "0900", "nine", "-9:00", "09:00Z"),
        *(" 09:00", "09:00 ", "09:00\n", "09:00\0", "\ud800", "٠٩:٠٠", "0٩:00", "2٣:00", "09:٣0", "09:0٠"),
        pytest.param("3" * 100_000, id="100,000 digits"),
    ],
)
def test_a_local_time_is_written_in_one_way(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_local_time("local_window/end", text)
    assert refused.value.field == "local_window/end"
