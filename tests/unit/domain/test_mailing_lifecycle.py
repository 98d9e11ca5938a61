"""The life of a mailing as tables, what may be asked of it when, and what may be edited when."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain import mailing as mailings
from shared.domain.audience import Audience
from shared.domain.mailing import (
    ACTIONS,
    ALREADY,
    DEFAULT_DURATION,
    EDITABLE_UNTIL_CLOSED,
    EDITABLE_UNTIL_RUNNING,
    FINAL,
    SCHEDULER_STEPS,
    Action,
    Mailing,
    MailingStatus,
    check_editable,
    check_times,
    has_ended,
    status_after,
)
from shared.domain.message import OnUnknown
from shared.errors import Conflict, InvalidInput

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
END = START + timedelta(hours=24)
NOON = START + timedelta(hours=3)
MILLISECOND = timedelta(milliseconds=1)
EVERYTHING = EDITABLE_UNTIL_RUNNING | EDITABLE_UNTIL_CLOSED

MAILING = Mailing(
    id=1,
    name="spring",
    text="hello",
    audience=Audience(everyone=True),
    start_at=START,
    end_at=END,
    local_window=None,
    rate_per_s=None,
    on_unknown=OnUnknown.RESEND,
    status=MailingStatus.SCHEDULED,
)

ANSWERS = """
              launch     pause     resume     cancel
    draft     scheduled  409       409        cancelled
    scheduled already    paused    already    cancelled
    running   already    paused    already    cancelled
    paused    409        already   running    cancelled
    completed 409        409       409        409
    cancelled 409        409       409        already
"""
"""What becomes of a mailing that has started, in its time, by the status it is in and the action asked for."""


def answers() -> list[tuple[MailingStatus, Action, str]]:
    header, *lines = ANSWERS.strip().splitlines()
    return [
        (MailingStatus(line.split()[0]), Action(action), answer)
        for line in lines
        for action, answer in zip(header.split(), line.split()[1:], strict=True)
    ]


@pytest.mark.parametrize(("status", "action", "answer"), answers())
def test_what_an_action_comes_to(status: MailingStatus, action: Action, answer: str) -> None:
    mailing = replace(MAILING, status=status, started=True)
    if answer == "409":
        with pytest.raises(Conflict) as refused:
            status_after(action, mailing, NOON)
        assert refused.value.code == f"mailing_{status.value}"
    else:
        assert status_after(action, mailing, NOON) == (None if answer == "already" else answer)


def test_every_status_and_action_is_answered_above() -> None:
    assert {(status, action) for status, action, _ in answers()} == {(s, a) for s in MailingStatus for a in Action}
    assert set(ACTIONS) == set(ALREADY) == set(Action)


def test_a_mailing_that_was_paused_before_it_ran_is_resumed_to_wait_for_its_start() -> None:
    paused = replace(MAILING, status=MailingStatus.PAUSED, started=False)
    assert status_after(Action.RESUME, paused, NOON) is MailingStatus.SCHEDULED


@pytest.mark.parametrize("action", Action)
def test_after_the_end_a_mailing_can_be_cancelled_and_nothing_else(action: Action) -> None:
    status = {Action.LAUNCH: "draft", Action.PAUSE: "running", Action.RESUME: "paused", Action.CANCEL: "running"}[
        action
    ]
    mailing = replace(MAILING, status=MailingStatus(status), started=status != "draft")
    closed_by_a_clock_ahead = replace(mailing, closed_at=END)

    assert status_after(action, mailing, END - MILLISECOND) is not None
    for over, now in ((mailing, END), (mailing, END + MILLISECOND), (closed_by_a_clock_ahead, END - MILLISECOND)):
        if action is Action.CANCEL:
            assert status_after(action, over, now) is MailingStatus.CANCELLED
        else:
            with pytest.raises(Conflict) as refused:
                status_after(action, over, now)
            assert refused.value.code == "mailing_ended"


def test_a_repeated_action_changes_nothing_after_the_end_either() -> None:
    assert status_after(Action.PAUSE, replace(MAILING, status=MailingStatus.PAUSED), END) is None


def test_a_draft_without_an_end_can_be_launched() -> None:
    draft = replace(MAILING, status=MailingStatus.DRAFT, start_at=None, end_at=None)
    assert status_after(Action.LAUNCH, draft, NOON) is MailingStatus.SCHEDULED


def test_the_scheduler_takes_these_steps_and_no_others() -> None:
    assert {(old.value, new.value) for old, targets in SCHEDULER_STEPS.items() for new in targets} == {
        ("scheduled", "running"),
        ("running", "completed"),
        ("running", "paused"),
        ("paused", "completed"),
        ("completed", "running"),
    }


def test_every_status_is_reached_and_every_mailing_can_end() -> None:
    steps = {status: set(SCHEDULER_STEPS.get(status, ())) for status in MailingStatus}
    for targets in ACTIONS.values():
        for old, new in targets.items():
            steps[old].add(new)

    def reachable(status: MailingStatus) -> set[MailingStatus]:
        found = {status}
        while more := {new for old in found for new in steps[old]} - found:
            found |= more
        return found

    assert reachable(MailingStatus.DRAFT) == set(MailingStatus)
    for status in MailingStatus:
        assert reachable(status) & FINAL, status
    assert frozenset({MailingStatus.COMPLETED, MailingStatus.CANCELLED}) == FINAL
    assert steps[MailingStatus.CANCELLED] == set(), "what is cancelled stays cancelled"


def test_each_name_is_its_status() -> None:
    for status in MailingStatus:
        assert status.value == status.name.lower()
        assert getattr(mailings, status.name) is status


@pytest.mark.parametrize(
    ("end_at", "closed_at", "now", "ended"),
    [
        (END, None, END - MILLISECOND, False),
        (END, None, END, True),
        (None, None, END, False),
        (END, END, END - MILLISECOND, True),
    ],
)
def test_a_mailing_has_ended_at_its_end_or_when_a_scheduler_says_so(
    end_at: datetime | None, closed_at: datetime | None, now: datetime, ended: bool
) -> None:
    assert has_ended(replace(MAILING, end_at=end_at, closed_at=closed_at), now) is ended


@pytest.mark.parametrize(
    ("start_at", "end_at", "now", "message"),
    [
        (START, START, START - MILLISECOND, "after start_at"),
        (START, START - MILLISECOND, START - timedelta(days=1), "after start_at"),
        (START, END, END, "in the future"),
        (START, END, END + MILLISECOND, "in the future"),
    ],
)
def test_a_mailing_ends_after_its_start_and_in_the_future(
    start_at: datetime, end_at: datetime, now: datetime, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        check_times(start_at, end_at, now)
    assert refused.value.field == "end_at"


def test_a_mailing_may_begin_in_the_past_and_last_a_millisecond() -> None:
    check_times(START, START + MILLISECOND, START)
    check_times(START, END, END - MILLISECOND)


EDITS = [
    # status, started, closed, now, fields, code of the refusal
    ("draft", False, False, NOON, EVERYTHING, None),
    ("draft", False, False, END, EVERYTHING, None),
    ("scheduled", False, False, NOON, EVERYTHING, None),
    ("scheduled", False, False, END - MILLISECOND, EVERYTHING, None),
    ("scheduled", False, False, END, {"name"}, "mailing_ended"),
    ("paused", False, False, NOON, EVERYTHING, None),
    ("paused", True, False, NOON, EDITABLE_UNTIL_CLOSED, None),
    ("paused", True, False, NOON, {"audience"}, "mailing_already_running"),
    ("running", True, False, NOON, EDITABLE_UNTIL_CLOSED, None),
    ("running", True, False, NOON, set(), None),
    ("running", True, False, NOON, {"text", "start_at"}, "mailing_already_running"),
    ("running", True, False, NOON, {"on_unknown"}, "mailing_already_running"),
    ("running", True, False, END, {"end_at"}, "mailing_ended"),
    ("running", True, True, NOON, {"end_at"}, "mailing_ended"),
    ("paused", True, True, NOON, {"text"}, "mailing_ended"),
    ("completed", True, False, NOON, {"text"}, "mailing_completed"),
    ("completed", True, True, END, {"text"}, "mailing_completed"),
    ("cancelled", False, False, NOON, {"name"}, "mailing_cancelled"),
]


@pytest.mark.parametrize(("status", "started", "closed", "now", "asked", "code"), EDITS)
def test_what_may_be_edited_when(
    status: str, started: bool, closed: bool, now: datetime, asked: set[str], code: str | None
) -> None:
    mailing = replace(MAILING, status=MailingStatus(status), started=started, closed_at=NOON if closed else None)
    if code is None:
        check_editable(mailing, frozenset(asked), now)
    else:
        with pytest.raises(Conflict) as refused:
            check_editable(mailing, frozenset(asked), now)
        assert refused.value.code == code


def test_a_refusal_names_the_fields_that_cannot_change() -> None:
    running = replace(MAILING, status=MailingStatus.RUNNING, started=True)
    with pytest.raises(Conflict, match=r"^audience, on_unknown, start_at cannot change"):
        check_editable(running, EVERYTHING, NOON)


def test_what_may_be_edited_are_fields_of_a_mailing_each_with_one_rule() -> None:
    assert {field.name for field in fields(Mailing)} >= EVERYTHING
    assert not EDITABLE_UNTIL_RUNNING & EDITABLE_UNTIL_CLOSED
    assert {"audience", "start_at"} <= EDITABLE_UNTIL_RUNNING
    assert {"name", "text", "end_at", "local_window", "rate_per_s"} <= EDITABLE_UNTIL_CLOSED


def test_a_new_mailing_has_one_revision_nothing_planned_and_a_day_unless_it_says_otherwise() -> None:
    assert (MAILING.revision, MAILING.started, MAILING.fan_out_done, MAILING.closed_at) == (1, False, False, None)
    assert timedelta(days=1) == DEFAULT_DURATION
