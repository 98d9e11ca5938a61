"""The life of a message as a table: which steps there are, who takes them, and what an outcome comes to."""

from collections.abc import Iterable

import pytest

from shared.domain import message
from shared.domain.message import (
    CLAIMABLE,
    DEAD,
    FINAL,
    OPEN,
    PLANNED_AS,
    STEPS,
    UNSENT,
    Actor,
    MessageStatus,
    OnUnknown,
    Outcome,
    given_up,
    status_after,
)

ALL = frozenset(MessageStatus)
QUEUED, RETRYING, SENDING, WAITING = (
    MessageStatus.QUEUED,
    MessageStatus.RETRYING,
    MessageStatus.SENDING,
    MessageStatus.WAITING,
)
SENT, FAILED, EXPIRED, CANCELLED, UNKNOWN = (
    MessageStatus.SENT,
    MessageStatus.FAILED,
    MessageStatus.EXPIRED,
    MessageStatus.CANCELLED,
    MessageStatus.UNKNOWN,
)

LIFE = """
    waiting   queued     scheduler
    waiting   expired    scheduler
    waiting   cancelled  scheduler api
    waiting   unknown    scheduler api
    queued    sending    sender
    queued    expired    scheduler
    queued    cancelled  scheduler api
    queued    unknown    scheduler api
    retrying  sending    sender
    retrying  expired    scheduler
    retrying  cancelled  scheduler api
    retrying  unknown    scheduler api
    sending   queued     sender
    sending   waiting    sender
    sending   cancelled  sender
    sending   sent       sender
    sending   retrying   sender
    sending   failed     sender
    sending   unknown    sender
    failed    queued     scheduler
    unknown   queued     scheduler
"""


def reachable(begin: Iterable[MessageStatus]) -> set[MessageStatus]:
    found = set(begin)
    while more := {target for status in found for target in STEPS[status]} - found:
        found |= more
    return found


def test_there_are_these_steps_and_no_others() -> None:
    written_down = {(old, new): set(actors) for old, new, *actors in map(str.split, LIFE.strip().splitlines())}
    in_the_table = {(old, new): set(actors) for old, targets in STEPS.items() for new, actors in targets.items()}
    assert in_the_table == written_down


def test_a_message_is_planned_to_be_sent_or_to_wait_or_because_its_mailing_was_closed() -> None:
    assert {QUEUED, WAITING, EXPIRED} == PLANNED_AS


def test_each_name_is_its_status() -> None:
    for status in MessageStatus:
        assert status.value == status.name.lower()
        assert getattr(message, status.name) is status


def test_each_status_is_either_open_or_final() -> None:
    assert OPEN | FINAL == ALL
    assert not OPEN & FINAL
    assert set(STEPS) == ALL


def test_every_status_is_reached_from_the_plan_and_an_open_message_can_end() -> None:
    assert reachable(PLANNED_AS) == ALL
    for status in OPEN:
        assert reachable({status}) >= FINAL, status


def test_a_final_status_is_left_only_by_a_replay_of_what_was_not_accepted() -> None:
    for status in FINAL:
        assert STEPS[status] == ({QUEUED: frozenset({Actor.SCHEDULER})} if status in DEAD else {})
    assert frozenset({FAILED, UNKNOWN}) == DEAD


def test_only_a_sender_sends() -> None:
    """Whatever leads to a call, and whatever a call leads to, is a sender's; what is claimable can be claimed."""
    for old, targets in STEPS.items():
        for new, actors in targets.items():
            assert (Actor.SENDER in actors) is (SENDING in (old, new)), (old, new)
            assert SENDING not in (old, new) or actors == {Actor.SENDER}, (old, new)
    assert {old for old, targets in STEPS.items() if SENDING in targets} == CLAIMABLE
    assert {old for old, targets in STEPS.items() if SENT in targets} == {SENDING}


def test_what_is_open_and_not_in_a_senders_hands_can_be_swept() -> None:
    assert OPEN - {SENDING} == UNSENT
    for status in UNSENT:
        assert STEPS[status].keys() >= {EXPIRED, CANCELLED, UNKNOWN}
    assert {old for old, targets in STEPS.items() if EXPIRED in targets} == UNSENT


ATTEMPTS = [(attempt, last_attempt) for last_attempt in (1, 2, 3, 5) for attempt in range(1, 7)]


@pytest.mark.parametrize("on_unknown", OnUnknown)
@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_comes_to_a_step_that_the_sender_may_take(
    outcome: Outcome, ambiguous: bool, on_unknown: OnUnknown
) -> None:
    for attempt, last_attempt in ATTEMPTS:
        status, ambiguous_now = status_after(
            outcome, attempt=attempt, last_attempt=last_attempt, ambiguous=ambiguous, on_unknown=on_unknown
        )
        what = (outcome, attempt, last_attempt, ambiguous, on_unknown)

        assert Actor.SENDER in STEPS[SENDING][status], what
        assert ambiguous_now is (ambiguous or outcome is Outcome.UNKNOWN), what
        assert (status is SENT) is (outcome is Outcome.ACCEPTED), what
        if status is RETRYING:
            assert attempt < last_attempt, what
            assert outcome is not Outcome.PERMANENT, what
        if status is FAILED:
            assert not ambiguous_now, what
        if status is UNKNOWN:
            assert ambiguous_now, what
        if outcome is Outcome.UNKNOWN and on_unknown is OnUnknown.HOLD:
            assert status is UNKNOWN, what


@pytest.mark.parametrize(
    ("outcome", "attempt", "ambiguous", "on_unknown", "expected"),
    [
        (Outcome.ACCEPTED, 1, False, OnUnknown.RESEND, (SENT, False)),
        (Outcome.ACCEPTED, 3, True, OnUnknown.HOLD, (SENT, True)),
        (Outcome.REFUSED, 2, False, OnUnknown.HOLD, (RETRYING, False)),
        (Outcome.REFUSED, 3, False, OnUnknown.RESEND, (FAILED, False)),
        (Outcome.REFUSED, 4, False, OnUnknown.RESEND, (FAILED, False)),
        (Outcome.REFUSED, 2, True, OnUnknown.HOLD, (RETRYING, True)),
        (Outcome.REFUSED, 3, True, OnUnknown.RESEND, (UNKNOWN, True)),
        (Outcome.UNAUTHORISED, 2, False, OnUnknown.RESEND, (RETRYING, False)),
        (Outcome.UNAUTHORISED, 3, False, OnUnknown.RESEND, (FAILED, False)),
        (Outcome.UNKNOWN, 2, False, OnUnknown.RESEND, (RETRYING, True)),
        (Outcome.UNKNOWN, 3, False, OnUnknown.RESEND, (UNKNOWN, True)),
        (Outcome.UNKNOWN, 1, False, OnUnknown.HOLD, (UNKNOWN, True)),
        (Outcome.PERMANENT, 1, False, OnUnknown.RESEND, (FAILED, False)),
        (Outcome.PERMANENT, 1, True, OnUnknown.RESEND, (UNKNOWN, True)),
    ],
)
def test_what_an_outcome_comes_to_when_the_third_attempt_is_the_last(
    outcome: Outcome, attempt: int, ambiguous: bool, on_unknown: OnUnknown, expected: tuple[MessageStatus, bool]
) -> None:
    after = status_after(outcome, attempt=attempt, last_attempt=3, ambiguous=ambiguous, on_unknown=on_unknown)
    assert after == expected


@pytest.mark.parametrize("status", [FAILED, EXPIRED, CANCELLED])
def test_nobody_can_say_how_a_message_ended_that_may_have_been_accepted(status: MessageStatus) -> None:
    assert given_up(status, ambiguous=False) is status
    assert given_up(status, ambiguous=True) is UNKNOWN
