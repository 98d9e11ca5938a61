"""Given a provider that fails, when verdicts come in, then the breaker opens, probes and closes again."""

from datetime import UTC, datetime, timedelta

import pytest

from services.sender.breaker import FAILURES, LONGEST_PAUSE_S, PROBE_EVERY_S, PROBE_OVERDUE_S, SHORT_PAUSE_S, Breaker
from services.sender.outcome import Verdict
from shared.domain.message import Outcome

ACCEPTED = Verdict(Outcome.ACCEPTED, None)
AWAY = Verdict(Outcome.REFUSED, "no_connection", provider_failed=True, called=False)
FAULTY = Verdict(Outcome.UNKNOWN, "http_502", provider_failed=True)
BUSY = Verdict(Outcome.REFUSED, "http_429")
REFUSED_FOR_GOOD = Verdict(Outcome.PERMANENT, "http_400")
NOT_US = Verdict(Outcome.UNAUTHORISED, "http_401")


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic_s(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def breaker(clock: HandClock, told: list[str]) -> Breaker:
    return Breaker(clock, report=told.append)


@pytest.mark.parametrize("verdict", [AWAY, FAULTY])
def test_it_opens_on_so_many_failures_in_a_row(breaker: Breaker, verdict: Verdict, told: list[str]) -> None:
    for _ in range(FAILURES - 1):
        breaker.hear(verdict)
    assert breaker.lets_through()
    breaker.hear(verdict)
    assert breaker.is_open
    assert not breaker.lets_through()
    assert str(verdict.reason) in told[-1]


@pytest.mark.parametrize("verdict", [ACCEPTED, REFUSED_FOR_GOOD])
def test_a_sound_answer_in_between_starts_the_count_anew(breaker: Breaker, verdict: Verdict) -> None:
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.hear(AWAY)
        breaker.hear(verdict)
    assert not breaker.is_open


def test_a_message_that_could_not_be_sent_says_nothing_of_the_provider(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        breaker.hear(AWAY)

    breaker.hear(Verdict(Outcome.PERMANENT, "unsendable", called=False))

    assert breaker.is_open


def test_being_busy_is_no_failure(breaker: Breaker) -> None:
    for _ in range(FAILURES * 2):
        breaker.hear(BUSY)
    assert not breaker.is_open


def test_one_probe_at_a_time_until_one_succeeds(breaker: Breaker, clock: HandClock, told: list[str]) -> None:
    for _ in range(FAILURES):
        breaker.hear(AWAY)
    for _ in range(3):
        assert not breaker.lets_through()
        clock.seconds += PROBE_EVERY_S
        assert breaker.lets_through()
        assert not breaker.lets_through()
        breaker.hear(AWAY)
    clock.seconds += PROBE_EVERY_S
    assert breaker.lets_through()
    breaker.hear(ACCEPTED)
    assert not breaker.is_open
    assert breaker.lets_through()
    assert told[-1] == "up"


def test_a_fault_of_ours_opens_it_at_once(breaker: Breaker, told: list[str]) -> None:
    breaker.hear(NOT_US)
    assert breaker.is_open
    assert told == ["does not let us call: http_401"]


def test_a_pause_is_kept_to_the_end_and_has_no_probes(breaker: Breaker, clock: HandClock) -> None:
    breaker.pause(clock.now() + timedelta(seconds=30))
    breaker.pause(clock.now() + timedelta(seconds=10))
    clock.seconds += 29
    assert not breaker.lets_through()
    assert breaker.wait_s() == pytest.approx(1)
    clock.seconds += 1
    assert breaker.lets_through()


def test_a_pause_is_bounded(breaker: Breaker, clock: HandClock) -> None:
    breaker.pause(clock.now() + timedelta(days=400))
    assert breaker.wait_s() == LONGEST_PAUSE_S


def test_a_pause_that_is_over_is_none(breaker: Breaker, clock: HandClock) -> None:
    clock.seconds = 1_000.0
    breaker.pause(clock.now() - timedelta(seconds=30))
    assert breaker.wait_s() == 0
    assert not breaker.is_paused


def test_a_probe_that_hangs_is_not_waited_for_until_its_timeout(breaker: Breaker, clock: HandClock) -> None:
    for _ in range(FAILURES):
        breaker.hear(FAULTY)
    clock.seconds += PROBE_EVERY_S
    assert breaker.wait_s(under_way=True) == pytest.approx(PROBE_OVERDUE_S - PROBE_EVERY_S)
    assert breaker.lets_through()
    clock.seconds += PROBE_OVERDUE_S
    assert breaker.wait_s(under_way=True) == 0
    assert breaker.lets_through()


def test_what_fails_after_it_has_opened_does_not_put_the_probe_off(breaker: Breaker, clock: HandClock) -> None:
    for _ in range(FAILURES):
        breaker.hear(FAULTY)
    clock.seconds += PROBE_EVERY_S
    breaker.hear(FAULTY)
    assert breaker.lets_through()


def test_commands_are_held_back_while_it_is_open_or_paused_for_long(breaker: Breaker, clock: HandClock) -> None:
    assert not breaker.holds_back
    breaker.pause(clock.now() + timedelta(seconds=SHORT_PAUSE_S))
    assert not breaker.holds_back
    breaker.pause(clock.now() + timedelta(seconds=SHORT_PAUSE_S + 1))
    assert breaker.holds_back
    clock.seconds += 1
    assert not breaker.holds_back
    breaker.hear(NOT_US)
    assert breaker.holds_back


def test_each_change_is_told_once(clock: HandClock, told: list[str]) -> None:
    changes: list[int] = []
    breaker = Breaker(clock, report=told.append, changed=lambda: changes.append(1))
    for _ in range(FAILURES + 5):
        breaker.hear(AWAY)
    assert len(changes) == 1
    for _ in range(5):
        breaker.hear(ACCEPTED)
    assert len(changes) == 2
    for _ in range(5):
        breaker.pause(clock.now() + timedelta(seconds=30))
    assert len(changes) == 3
    assert told[-1] == "up"
