"""Which step an attempt leads to, and when a scheduler takes the retry for lost."""

from datetime import timedelta

import pytest

from services.sender.ladder import Ladder
from shared.domain.message import RETRYING, MessageStatus
from tests.unit.sender.parts import NOW

LADDER = Ladder(max_attempts=6, mend_after=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("attempt", "name"), [(1, "5s"), (2, "30s"), (3, "2m"), (4, "10m"), (5, "1h"), (6, "1h"), (50, "1h")]
)
def test_attempts_climb_the_ladder_and_stay_on_its_last_step(attempt: int, name: str) -> None:
    assert LADDER.step(attempt, last_attempt=6).name == name


@pytest.mark.parametrize(
    ("attempt", "last_attempt", "name"), [(7, 12, "5s"), (8, 12, "30s"), (3, 8, "5s"), (9, 14, "5s")]
)
def test_after_a_replay_they_begin_at_its_foot(attempt: int, last_attempt: int, name: str) -> None:
    assert LADDER.step(attempt, last_attempt).name == name


def test_fewer_attempts_since_a_change_of_the_setting_are_no_error() -> None:
    assert Ladder(max_attempts=2, mend_after=timedelta(seconds=60)).step(1, last_attempt=6).name == "5s"


def test_a_retry_is_looked_after_when_its_step_is_well_over() -> None:
    assert LADDER.due_at(RETRYING, 2, 6, NOW) == NOW + timedelta(seconds=30 + 60)


@pytest.mark.parametrize("status", [status for status in MessageStatus if status is not RETRYING])
def test_what_is_final_is_not_looked_after(status: MessageStatus) -> None:
    assert LADDER.due_at(status, 1, 6, NOW) is None
