"""Local windows against an oracle that walks from minute to minute, around every clock change of the odd zones."""

from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.window import LocalWindow
from tests.unit.domain.zones import BEGIN, END, MINUTE, ZONES, first_open, minutes_between, offset_changes, shows_open

HOUR_MS = 3_600_000


class Moment(NamedTuple):
    """Somebody looks at a clock, and a window is asked about."""

    zone: ZoneInfo
    start: int  # minute of the day
    end: int
    at: datetime

    @property
    def window(self) -> LocalWindow:
        return LocalWindow(time(self.start // 60, self.start % 60), time(self.end // 60, self.end % 60))

    @property
    def minutes_open(self) -> frozenset[int]:
        return minutes_between(self.start, self.end)


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Most of them within two days of a clock change, with edges of the window within hours of what it jumps over."""
    zone_name = draw(st.sampled_from(ZONES))
    zone = ZoneInfo(zone_name)
    changes = offset_changes(zone_name)
    minute_of_day = st.integers(0, 1439)
    if len(changes) > 0 and draw(st.integers(0, 9)) > 0:
        change: datetime = draw(st.sampled_from(changes))
        reach_ms = draw(st.sampled_from((1, 3, 48))) * HOUR_MS
        at = change + timedelta(milliseconds=draw(st.integers(-reach_ms, reach_ms)))
        walls = [(change + nudge).astimezone(zone) for nudge in (timedelta(0), timedelta(seconds=-1))]
        near = st.builds(
            lambda wall, minutes: (wall.hour * 60 + wall.minute + minutes) % 1440,
            st.sampled_from(walls),
            st.integers(-150, 150),
        )
        minute_of_day = st.one_of(near, near, minute_of_day)
    else:
        at = BEGIN + timedelta(milliseconds=draw(st.integers(0, (END - BEGIN).days * 24 * HOUR_MS)))
    if draw(st.booleans()):
        at = at.replace(second=0, microsecond=0)
    start = draw(minute_of_day)
    end = draw(minute_of_day.filter(lambda minute: minute != start))
    return Moment(zone, start, end, at)


@settings(max_examples=250)
@given(moments())
def test_a_window_is_open_when_the_wall_shows_one_of_its_minutes(moment: Moment) -> None:
    assert moment.window.is_open(moment.at, moment.zone) is shows_open(moment.minutes_open, moment.at, moment.zone)


@settings(max_examples=250)
@given(moments())
def test_a_window_opens_where_a_walk_from_minute_to_minute_first_finds_it_open(moment: Moment) -> None:
    opens_at = moment.window.opens_at(moment.at, moment.zone)
    assert opens_at == first_open(moment.minutes_open, moment.at, moment.zone)


@settings(max_examples=250)
@given(moments())
def test_an_opening_is_not_past_is_open_and_is_its_own_opening(moment: Moment) -> None:
    window, zone = moment.window, moment.zone
    opens_at = window.opens_at(moment.at, zone)

    assert opens_at >= moment.at
    assert opens_at.tzinfo is UTC
    assert window.is_open(opens_at, zone)
    assert window.opens_at(opens_at, zone) == opens_at
    if opens_at > moment.at:
        just_before = opens_at - timedelta(microseconds=1)
        assert not window.is_open(just_before, zone)
        assert window.opens_at(just_before, zone) == opens_at


@settings(max_examples=250)
@given(moments())
def test_a_window_and_the_rest_of_the_day_are_never_open_together_and_never_both_closed(moment: Moment) -> None:
    rest_of_the_day = Moment(moment.zone, moment.end, moment.start, moment.at).window
    assert moment.window.is_open(moment.at, moment.zone) is not rest_of_the_day.is_open(moment.at, moment.zone)


def kinds_of_change(zone_name: str) -> list[tuple[int, datetime]]:
    """The last change of each kind, and the minute of the day that the clock would have shown without it."""
    zone = ZoneInfo(zone_name)
    last = {}
    for change in offset_changes(zone_name):
        before = (change - MINUTE).astimezone(zone)
        minute = (before.hour * 60 + before.minute + 1) % 1440
        last[minute, change.astimezone(zone).replace(tzinfo=None) - before.replace(tzinfo=None)] = change
    return [(minute, change) for (minute, _), change in last.items()]


@pytest.mark.parametrize("zone_name", [name for name in ZONES if offset_changes(name)])
def test_each_kind_of_change_of_a_zone_is_walked_through(zone_name: str) -> None:
    """Without chance: windows that touch what the clock jumps over, asked about every quarter of an hour."""
    zone = ZoneInfo(zone_name)
    for minute, change in kinds_of_change(zone_name):
        looks = [change + timedelta(minutes=15 * quarter) for quarter in range(-6, 6)]
        looks += [change + timedelta(seconds=seconds) for seconds in (-1801, -30, 30, 1801)]
        for first_minute in (-60, -30, -15, 0, 15, 30, 60):
            start = (minute + first_minute) % 1440
            for minutes in (15, 90, 1425):
                moment = Moment(zone, start, (start + minutes) % 1440, change)
                for at in looks:
                    expected = first_open(moment.minutes_open, at, zone)
                    assert moment.window.opens_at(at, zone) == expected, (zone_name, moment, at)
