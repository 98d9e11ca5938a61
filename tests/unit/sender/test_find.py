"""What a command that could not claim finds: each row of the protocol's rule for recovering commands."""

from datetime import timedelta

import pytest

from services.sender.judge import Finding, find
from shared.domain.message import (
    CANCELLED,
    EXPIRED,
    FAILED,
    QUEUED,
    RETRYING,
    SENDING,
    SENT,
    UNKNOWN,
    WAITING,
    MessageStatus,
)
from tests.unit.sender.parts import NOW, standing, task

LIMIT = timedelta(seconds=30)
NOTHING = Finding.NOTHING_TO_DO


@pytest.mark.parametrize("recover", [False, True])
def test_a_message_that_is_not_there_leaves_nothing_to_do(recover: bool) -> None:
    assert find(task(recover=recover), None, NOW) is NOTHING


@pytest.mark.parametrize("recover", [False, True])
@pytest.mark.parametrize("status", [QUEUED, RETRYING])
def test_a_message_that_can_be_claimed_after_all_is(status: MessageStatus, recover: bool) -> None:
    assert find(task(attempt=3, recover=recover), standing(status=status, attempt=2), NOW) is Finding.CLAIMABLE


@pytest.mark.parametrize("status", list(MessageStatus))
def test_a_command_that_is_not_recovering_leaves_everything_alone(status: MessageStatus) -> None:
    one = standing(status=status, attempt=2, claimed_at=NOW - 2 * LIMIT)

    assert find(task(attempt=2, recover=False), one, NOW) is NOTHING


@pytest.mark.parametrize(
    ("status", "finding"),
    [
        (WAITING, NOTHING),
        (QUEUED, NOTHING),
        (RETRYING, Finding.RETRY_MISSING),
        (SENT, NOTHING),
        (FAILED, Finding.LETTER_MISSING),
        (UNKNOWN, Finding.LETTER_MISSING),
        (EXPIRED, NOTHING),
        (CANCELLED, NOTHING),
    ],
)
def test_a_recovering_command_finishes_what_its_attempt_left(status: MessageStatus, finding: Finding) -> None:
    assert find(task(attempt=2, recover=True), standing(status=status, attempt=2), NOW) is finding


@pytest.mark.parametrize("status", list(MessageStatus))
@pytest.mark.parametrize("attempt", [0, 1, 3, 9])
def test_a_recovering_command_leaves_other_attempts_alone(status: MessageStatus, attempt: int) -> None:
    if status in (QUEUED, RETRYING) and attempt == 1:
        return  # it can be claimed

    one = standing(status=status, attempt=attempt, claimed_at=NOW - 2 * LIMIT)

    assert find(task(attempt=2, recover=True), one, NOW) is NOTHING


@pytest.mark.parametrize(
    ("age", "finding"),
    [
        (timedelta(0), Finding.YOUNG_CLAIM),
        (LIMIT - timedelta(milliseconds=1), Finding.YOUNG_CLAIM),
        (LIMIT, Finding.OUTLIVED_CLAIM),
        (timedelta(days=3), Finding.OUTLIVED_CLAIM),
        (-timedelta(seconds=5), Finding.YOUNG_CLAIM),  # the other sender's clock is ahead
    ],
)
def test_a_claim_is_outlived_after_30_s(age: timedelta, finding: Finding) -> None:
    one = standing(status=SENDING, attempt=1, claimed_at=NOW - age)

    assert find(task(recover=True), one, NOW) is finding


def test_sending_without_a_claim_is_nobodys_and_a_scheduler_asks_again_later() -> None:
    # Nobody of ours writes that. A command that went round for it would go round for ever, and mends would add to it.
    assert find(task(recover=True), standing(claimed_at=None, claim_token=None), NOW) is NOTHING
