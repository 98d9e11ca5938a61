"""Which step an attempt leads to, and when a scheduler takes the retry for lost."""

from datetime import timedelta

import pytest

from services.sender.ladder import Ladder
from shared.domain.message import RETRYING, MessageStatus
from tests.unit.sender.parts import NOW

LADDER = Ladder(mend_after=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("attempt", "name"), [(1, "5s"), (2, "30s"), (3, "2m"), (4, "10m"), (5, "1h"), (6, "1h"), (50, "1h")]
)
def test_attempts_climb_the_ladder_and_stay_on_its_last_step(attempt: int, name: str) -> None:
    assert LADDER.step(attempt, replayed_after=0).name == name


@pytest.mark.parametrize(
    ("attempt", "replayed_after", "name"), [(7, 6, "5s"), (8, 6, "30s"), (3, 2, "5s"), (9, 8, "5s")]
)
def test_after_a_replay_they_begin_at_its_foot(attempt: int, replayed_after: int, name: str) -> None:
    assert LADDER.step(attempt, replayed_after).name == name


def test_a_retry_is_looked_after_when_its_step_is_well_over() -> None:
    assert LADDER.due_at(RETRYING, 2, 0, NOW) == NOW + timedelta(seconds=30 + 60)


@pytest.mark.parametrize("status", [status for status in MessageStatus if status is not RETRYING])
def test_what_is_final_is_not_looked_after(status: MessageStatus) -> None:
    assert LADDER.due_at(status, 1, 0, NOW) is None
