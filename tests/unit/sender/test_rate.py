"""Given a limit, when calls ask to start, then no second has more of them; and what a refusal does to the rate."""

import math
from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.rate import BURST_S, LOOKS_BEFORE_FIRST, LOOKS_KEPT, RECOVER_S, Rate

STEP_S = 0.001


def shared(limit_per_s: float, *, senders: int = 1) -> Rate:
    """A rate whose share is known."""
    rate = Rate(limit_per_s)
    for _ in range(LOOKS_BEFORE_FIRST):
        rate.see_senders(senders)
    return rate


def starts(rate: Rate, *, from_s: float, to_s: float) -> list[float]:
    """When calls start that ask all the time."""
    steps = (from_s + number * STEP_S for number in range(round((to_s - from_s) / STEP_S)))
    return [now_s for now_s in steps if rate.admit(now_s)]


def refuse(rate: Rate, now_s: float, *, started_at_s: float | None = None, **more: float) -> None:
    values = {"pause_s": 0.0, "finished_per_s": 0.0} | more
    rate.cut(now_s, started_at_s=now_s if started_at_s is None else started_at_s, **values)


def test_without_a_limit_everything_starts() -> None:
    rate = Rate(None)
    assert all(rate.admit(1.0) for _ in range(1_000))
    assert rate.startable(1.0, within_s=1.0) == math.inf
    assert rate.wait_s(1.0) == 0
    assert rate.per_s(1.0) is None


def test_nothing_starts_before_the_others_can_have_seen_that_one_more_has_come() -> None:
    rate = Rate(50)
    for _ in range(LOOKS_BEFORE_FIRST - 1):
        rate.see_senders(1)
        assert not starts(rate, from_s=0, to_s=1)
    assert rate.wait_s(1.0) == math.inf
    rate.see_senders(1)
    assert len(starts(rate, from_s=1, to_s=2)) == pytest.approx(50, abs=3)


def test_the_limit_is_divided_and_evenly_paced() -> None:
    started = starts(shared(60, senders=3), from_s=0, to_s=10)
    assert len(started) == pytest.approx(200, abs=2)
    gaps = [later - earlier for earlier, later in pairwise(started)]
    assert max(gaps) == pytest.approx(0.05, abs=0.01)
    assert min(gaps) == pytest.approx(0.05, abs=0.01)


def test_a_sender_that_begins_to_consume_anew_is_not_gone_and_one_that_is_leaves_its_share() -> None:
    rate = shared(60, senders=3)
    rate.see_senders(2)
    assert rate.per_s(0) == 20
    for _ in range(LOOKS_KEPT):
        rate.see_senders(2)
    assert rate.per_s(0) == 30
    rate.see_senders(4)
    assert rate.per_s(0) == 15


def test_a_rate_below_one_a_second_is_one_too() -> None:
    started = starts(shared(0.5), from_s=0, to_s=10)
    assert len(started) == 4
    assert min(later - earlier for earlier, later in pairwise(started)) == pytest.approx(2.0, abs=0.01)


@given(
    limit_per_s=st.floats(0.2, 3_000),
    senders=st.integers(1, 8),
    waits_s=st.lists(st.floats(0, 0.4), min_size=1, max_size=200),
    asks=st.integers(1, 300),
)
def test_no_second_has_more_than_the_share_and_what_makes_up_for_a_moment(
    limit_per_s: float, senders: int, waits_s: list[float], asks: int
) -> None:
    rate = shared(limit_per_s, senders=senders)
    share_per_s = limit_per_s / senders
    now_s, started = 100.0, []
    for wait_s in waits_s:
        now_s += wait_s
        expected = rate.startable(now_s, within_s=0)
        count = sum(rate.admit(now_s) for _ in range(asks))
        assert count == min(asks, expected)
        started += [now_s] * count
    for first, at_s in enumerate(started):
        within = [one for one in started[first:] if one < at_s + 1.0]
        assert len(within) <= share_per_s + 1.0 + share_per_s * BURST_S + 1e-6


@given(limit_per_s=st.floats(0.2, 500), within_s=st.floats(0, 2))
def test_what_is_said_to_be_startable_is_started(limit_per_s: float, within_s: float) -> None:
    rate = shared(limit_per_s)
    rate.admit(0.0)
    said = rate.startable(0.0, within_s=within_s)
    assert len(starts(rate, from_s=0, to_s=within_s + 2 * STEP_S)) == pytest.approx(said, abs=1)


def test_a_wait_ends_when_it_was_said_to() -> None:
    rate = shared(10)
    assert starts(rate, from_s=0, to_s=1)
    wait_s = rate.wait_s(1.0)
    assert 0 < wait_s <= 0.1
    assert not rate.admit(1.0 + wait_s - 0.01)
    assert rate.admit(1.0 + wait_s + 0.001)


def test_a_refusal_halves_the_share_and_it_recovers_by_the_same_amount_each_second() -> None:
    rate = shared(100)
    refuse(rate, 10.0)
    assert rate.per_s(10.0) == 50
    assert rate.per_s(11.0) == pytest.approx(50 + 100 / RECOVER_S)
    assert rate.per_s(12.0) == pytest.approx(50 + 200 / RECOVER_S)
    assert rate.per_s(15.1) == 100
    assert rate.per_s(100.0) == 100


def test_refusals_of_calls_that_were_under_way_say_nothing_new() -> None:
    rate = shared(100)
    for _ in range(64):
        refuse(rate, 10.0, started_at_s=9.9)
    assert rate.per_s(10.0) == 50
    refuse(rate, 10.2, started_at_s=10.1)
    assert rate.per_s(10.2) == pytest.approx(26, abs=1)


def test_it_never_falls_to_nothing() -> None:
    rate = shared(64)
    for second in range(100):
        refuse(rate, 10.0 + second / 1_000)
    assert rate.per_s(10.1) == pytest.approx(1.0, abs=0.7)


def test_it_does_not_recover_while_the_provider_is_left_alone() -> None:
    rate = shared(100)
    refuse(rate, 10.0, pause_s=30.0)
    assert rate.per_s(40.0) == 50
    assert rate.per_s(41.0) == 60


def test_without_a_limit_a_refusal_leaves_half_of_what_was_really_finished() -> None:
    rate = Rate(None)
    refuse(rate, 10.0, finished_per_s=200)
    assert rate.per_s(10.0) == 100
    assert len(starts(rate, from_s=10.0, to_s=10.5)) == pytest.approx(55, abs=5)
    assert rate.per_s(12.0) == pytest.approx(100 + 2 * 800 / RECOVER_S)
    assert rate.per_s(19.0) is None  # four times of what was refused was not refused: nobody needs it any more


def test_without_a_limit_it_comes_to_rest_at_what_the_provider_takes() -> None:
    """Given a provider that takes 100 calls a second, and a sender that would make 2,000."""
    rate = Rate(None)
    last_second: deque[float] = deque()
    taken = refused = 0
    for number in range(30_000):
        now_s = number * STEP_S
        while last_second and last_second[0] <= now_s - 1.0:
            last_second.popleft()
        for _ in range(2):
            if not rate.admit(now_s):
                continue
            if len(last_second) < 100:
                last_second.append(now_s)
                taken += 1
            else:
                refused += 1
                refuse(rate, now_s, finished_per_s=2_000 if now_s < 1 else 100)
    assert taken > 30 * 60
    assert refused < taken / 20
