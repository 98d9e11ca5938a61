"""Given how fast a provider is, when the prefetch is adapted, then it is about two seconds of work."""

import pytest

from services.sender.prefetch import wanted_prefetch


def wanted(current: int, finished_per_s: float, *, has_more: bool = True) -> int:
    return wanted_prefetch(current, finished_per_s=finished_per_s, has_more=has_more, concurrency=64, most=564)


@pytest.mark.parametrize(
    ("current", "finished_per_s", "expected"),
    [
        (128, 6, 128),  # a provider that hangs: what is in flight, and as much again
        (128, 2_000, 564),  # a fast one: all that is allowed
        (564, 6, 128),  # it has become slow
        (564, 200, 564),  # a little slower is no reason to begin anew
        (300, 64, 300),
        (128, 150, 364),
        (500, 250, 564),
    ],
)
def test_it_follows_the_rate(current: int, finished_per_s: float, expected: int) -> None:
    assert wanted(current, finished_per_s) == expected


def test_a_sender_that_waits_for_work_keeps_what_it_has() -> None:
    assert wanted(564, 20, has_more=False) == 564


def test_a_sender_without_work_begins_anew() -> None:
    assert wanted(564, 0, has_more=False) == 128
