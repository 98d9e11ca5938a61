"""The retry ladder: it is climbed step by step, and its last step is used for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.retry import LADDER, YOUNG_CLAIM_STEP, retry_step


def test_the_ladder_is_climbed_from_its_first_step() -> None:
    assert [retry_step(attempt) for attempt in range(1, len(LADDER) + 1)] == list(LADDER)


@given(st.integers(min_value=len(LADDER)))
def test_the_last_step_is_used_for_ever(attempt: int) -> None:
    assert retry_step(attempt) is LADDER[-1]


@given(st.integers(min_value=1, max_value=100))
def test_a_later_attempt_never_waits_less(attempt: int) -> None:
    assert 0 < retry_step(attempt).delay_s <= retry_step(attempt + 1).delay_s


@given(st.integers(max_value=0))
def test_attempts_are_numbered_from_one(attempt: int) -> None:
    with pytest.raises(ValueError, match="numbered from 1"):
        retry_step(attempt)


def test_each_step_has_a_name_and_a_wait_of_its_own() -> None:
    """A queue is named after its step, and delays longer than an hour stay in the store."""
    assert len({step.name for step in LADDER}) == len({step.delay_s for step in LADDER}) == len(LADDER)
    units_s = {"s": 1, "m": 60, "h": 3_600}
    for step in LADDER:
        assert step.delay_s == int(step.name[:-1]) * units_s[step.name[-1]]
        assert step.delay_s <= 3_600


def test_a_command_that_found_a_young_claim_comes_again_once_the_claim_is_outlived() -> None:
    assert YOUNG_CLAIM_STEP in LADDER
    assert YOUNG_CLAIM_STEP.delay_s == 30
