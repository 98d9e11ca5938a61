"""Instants: RFC 3339 with an offset in, UTC with milliseconds out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.instants import EARLIEST, LATEST, format_instant, later_than, parse_instant


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2030-01-31T09:00:00Z", "2030-01-31T09:00:00.000Z"),
        ("2030-01-31t09:00:00z", "2030-01-31T09:00:00.000Z"),
        ("2030-01-31 09:00:00+03:00", "2030-01-31T06:00:00.000Z"),
        ("2030-01-31T09:00:00.1239999Z", "2030-01-31T09:00:00.123Z"),
        ("2030-01-31T09:00:00.5-23:59", "2030-02-01T08:59:00.500Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("9998-12-31T23:59:59.999Z", "9998-12-31T23:59:59.999Z"),
    ],
)
def test_an_instant_comes_back_in_utc_cut_to_milliseconds(text: str, shown: str) -> None:
    assert format_instant(parse_instant(text)) == shown


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T09:00:00",  # naive
        "2030-01-31",
        "2030-01-31T09:00Z",
        "2030-02-30T09:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T23:59:60Z",
        "2030-01-31T09:00:00+24:00",
        "2030-01-31T09:00:00+03",
        "2030-01-31T09:00:00+0300",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59Z",
        "10000-01-01T00:00:00Z",
        "٢٠٣٠-01-31T09:00:00Z",
        "2030-01-31T09:00:00Z\n",
        " 2030-01-31T09:00:00Z",
        "now",
        "",
        1_900_000_000,
        1.5,
        True,
        None,
        [],
    ],
)
def test_what_is_no_instant_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"instant|years"):
        parse_instant(text)


@given(st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None) - timedelta(milliseconds=1)))
def test_what_is_shown_is_understood(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1_000 * 1_000)
    assert parse_instant(format_instant(instant)) == instant


def test_a_change_is_later_than_the_one_before_even_within_a_millisecond() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    assert later_than(None, now) == now
    assert later_than(now - timedelta(seconds=1), now) == now
    assert later_than(now, now) == now + timedelta(milliseconds=1)
    assert later_than(now + timedelta(hours=1), now) > now + timedelta(hours=1)
