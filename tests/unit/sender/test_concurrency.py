"""Given calls that end well or with signs of overload, then fewer or more may be under way."""

import random

from hypothesis import given
from hypothesis import strategies as st

from services.sender.concurrency import RECOVER_S, ROUND_S, Concurrency

MOST = 64


class Provider:
    """Calls that take a round trip each, as many at once as are allowed; a share of them ends with overload."""

    def __init__(self, *, most: int = MOST, round_trip_s: float = 0.05) -> None:
        self.concurrency = Concurrency(most)
        self.round_trip_s = round_trip_s
        self.now_s = 100.0
        self.limits: list[int] = []
        self._dice = random.Random(1)

    def serve(self, seconds: float, *, overloaded: float) -> int:
        """For so long; how many calls ended."""
        until_s, ended = self.now_s + seconds, 0
        while self.now_s < until_s:
            started_at_s, calls = self.now_s, self.concurrency.limit
            self.now_s += self.round_trip_s
            for _ in range(calls):
                is_overloaded = self._dice.random() < overloaded
                self.concurrency.hear(self.now_s, started_at_s=started_at_s, overloaded=is_overloaded)
            ended += calls
            self.limits.append(self.concurrency.limit)
        return ended

    @property
    def limit(self) -> int:
        return self.concurrency.limit


def test_it_begins_with_the_most_and_stays_there_while_all_is_well() -> None:
    provider = Provider()
    assert provider.limit == MOST
    provider.serve(5, overloaded=0)
    assert set(provider.limits) == {MOST}


def test_a_provider_that_refuses_everything_is_soon_left_with_one_call_at_a_time() -> None:
    provider = Provider()
    provider.serve(4, overloaded=1)
    assert provider.limit == 1


def test_the_first_window_of_nothing_but_overload_halves_it_at_once() -> None:
    concurrency = Concurrency(MOST)
    for _ in range(MOST):
        concurrency.hear(10.0, started_at_s=0.0, overloaded=True)
    assert concurrency.limit == MOST // 2


def test_it_falls_at_most_once_for_the_calls_that_were_under_way() -> None:
    concurrency = Concurrency(MOST)
    for number in range(MOST * 10):
        concurrency.hear(10.0 + number * 0.01, started_at_s=5.0, overloaded=True)
    assert concurrency.limit == MOST // 2


def test_one_that_recovers_gets_all_of_it_back_within_ten_seconds() -> None:
    provider = Provider()
    provider.serve(10, overloaded=1)
    provider.serve(RECOVER_S + 1, overloaded=0)
    assert provider.limit == MOST


def test_one_that_now_and_then_fails_keeps_what_it_can_serve() -> None:
    provider = Provider()
    provider.serve(30, overloaded=0.1)
    assert min(provider.limits) > MOST / 2


def test_one_that_often_fails_is_called_less_but_not_left_alone() -> None:
    provider = Provider()
    provider.serve(30, overloaded=0.5)
    assert min(provider.limits) >= 4
    assert max(provider.limits[-100:]) < MOST / 2


def test_a_slow_one_is_no_overloaded_one() -> None:
    provider = Provider(round_trip_s=9.0)
    provider.serve(90, overloaded=0)
    assert set(provider.limits) == {MOST}


def test_one_error_after_a_silence_is_judged_with_those_that_follow() -> None:
    concurrency = Concurrency(MOST)
    concurrency.hear(1_000.0, started_at_s=999.9, overloaded=True)
    for _ in range(99):
        concurrency.hear(1_000.1, started_at_s=999.9, overloaded=False)
    concurrency.hear(1_000.0 + ROUND_S, started_at_s=1_000.2, overloaded=False)
    assert concurrency.limit >= MOST - 1


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 12), st.booleans()), max_size=300), st.integers(1, 1_024))
def test_it_stays_between_one_and_the_most(calls: list[tuple[float, float, bool]], most: int) -> None:
    concurrency, now_s = Concurrency(most), 100.0
    for passed_s, took_s, overloaded in calls:
        now_s += passed_s
        concurrency.hear(now_s, started_at_s=now_s - took_s, overloaded=overloaded)
        assert 1 <= concurrency.limit <= most
