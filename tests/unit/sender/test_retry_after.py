"""`Retry-After` in both of its forms, and in neither."""

from datetime import UTC, datetime

import pytest

from services.sender.provider.http_provider import parse_retry_after

NOW = datetime(2030, 5, 6, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("Mon, 06 May 2030 12:01:30 GMT", 90.0),
        ("Mon, 06 May 2030 11:00:00 GMT", 0.0),  # passed
        ("Mon, 06 May 2030 15:01:00 +0300", 60.0),
    ],
)
def test_seconds_and_dates(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "-1",
        "1.5",
        "soon",
        "²",
        "Mon, 32 Foo 2030",
        "Mon, 06 May 2030 12:00:00",
        "1 Jan 30 0:0 +0" + "9" * 14,
    ],
)
def test_nonsense_asks_for_nothing(header: str) -> None:
    assert parse_retry_after(header, NOW) is None


def test_more_seconds_than_a_number_can_hold_are_for_ever() -> None:
    assert parse_retry_after("9" * 400, NOW) == float("inf")
