"""Given the times of accepted calls, when a node was lost among them, then silence and slowness are told in seconds."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.cluster.pace import longest_silence_s, slow_until_s

STRUCK_AT = datetime(2026, 1, 1, tzinfo=UTC)


def calls(*stretches: tuple[float, float, float]) -> list[datetime]:
    """Times of calls: from, to, calls per second, each in seconds after the fault."""
    return [
        STRUCK_AT + timedelta(seconds=since_s + at / per_s)
        for since_s, until_s, per_s in stretches
        for at in range(round((until_s - since_s) * per_s))
    ]


def test_no_pause_is_no_silence() -> None:
    steady = calls((-10, 30, 100))
    assert longest_silence_s(steady, STRUCK_AT) == pytest.approx(0.01)
    assert slow_until_s(steady, STRUCK_AT) == 0


def test_a_pause_right_after_the_fault_counts_from_the_fault() -> None:
    paused = calls((-10, -0.5, 100), (7.25, 60, 100))
    assert longest_silence_s(paused, STRUCK_AT) == pytest.approx(7.25)
    assert slow_until_s(paused, STRUCK_AT) == 7


def test_a_pause_some_time_after_the_fault_is_found() -> None:
    paused = calls((-10, 2, 100), (14, 60, 100))
    assert longest_silence_s(paused, STRUCK_AT) == pytest.approx(12, abs=0.02)
    assert slow_until_s(paused, STRUCK_AT) == 14


def test_a_slow_time_without_a_pause_is_slow() -> None:
    slow = calls((-10, 0, 100), (0, 9, 30), (9, 60, 100))
    assert longest_silence_s(slow, STRUCK_AT) < 0.05
    assert slow_until_s(slow, STRUCK_AT) == 9


def test_what_thins_out_at_the_end_is_not_looked_at() -> None:
    thin = calls((-10, 20, 100), (50, 51, 10))
    assert longest_silence_s(thin, STRUCK_AT) < 1
    assert slow_until_s(thin, STRUCK_AT) == 0


@pytest.mark.parametrize("nothing", [[], calls((-10, -1, 100))])
def test_nothing_after_the_fault_is_told_apart_from_a_short_pause(nothing: list[datetime]) -> None:
    assert longest_silence_s(nothing, STRUCK_AT) == float("inf")
