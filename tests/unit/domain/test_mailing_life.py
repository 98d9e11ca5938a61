"""One mailing through any life that operators, the scheduler and the clock can give it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.domain.audience import Audience
from shared.domain.mailing import (
    EDITABLE_UNTIL_CLOSED,
    EDITABLE_UNTIL_RUNNING,
    SCHEDULER_STEPS,
    Action,
    Mailing,
    MailingStatus,
    check_editable,
    status_after,
)
from shared.domain.message import OnUnknown
from shared.errors import Conflict

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
LIFE = {
    "draft": {"scheduled", "cancelled"},
    "scheduled": {"running", "paused", "cancelled"},
    "running": {"paused", "completed", "cancelled"},
    "paused": {"scheduled", "running", "completed", "cancelled"},
    "completed": {"running"},
    "cancelled": set(),
}
"""The steps from each status, whoever takes them."""

FIELDS = sorted(EDITABLE_UNTIL_RUNNING | EDITABLE_UNTIL_CLOSED)


class MailingLife(RuleBasedStateMachine):
    """Writes to the mailing what the domain allows, as the store would."""

    @initialize(status=st.sampled_from((MailingStatus.DRAFT, MailingStatus.SCHEDULED)), hours=st.integers(1, 6))
    def created(self, status: MailingStatus, hours: int) -> None:
        self.now = BEGIN
        self.mailing = Mailing(
            id=1,
            name="spring",
            text="hello",
            audience=Audience(everyone=True),
            start_at=BEGIN,
            end_at=BEGIN + timedelta(hours=hours),
            local_window=None,
            rate_per_s=None,
            on_unknown=OnUnknown.RESEND,
            status=status,
        )
        self.fields_when_started: tuple[object, ...] | None = None

    @property
    def over(self) -> bool:
        assert self.mailing.end_at is not None
        return self.mailing.end_at <= self.now or self.mailing.closed_at is not None

    def step(self, status: MailingStatus) -> None:
        assert status in LIFE[self.mailing.status], (self.mailing.status, status)
        started = self.mailing.started or status is MailingStatus.RUNNING
        if started and not self.mailing.started:
            self.fields_when_started = self.frozen_fields()
        self.mailing = replace(self.mailing, status=status, started=started)

    def frozen_fields(self) -> tuple[object, ...]:
        return (self.mailing.audience, self.mailing.start_at, self.mailing.on_unknown)

    @rule(minutes=st.sampled_from((1, 60, 180)))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(action=st.sampled_from(Action))
    def an_operator_acts(self, action: Action) -> None:
        before = self.mailing.status
        try:
            status = status_after(action, self.mailing, self.now)
        except Conflict as refused:
            ended = self.over and action is not Action.CANCEL
            assert refused.code in ({"mailing_ended", f"mailing_{before}"} if ended else {f"mailing_{before}"})
            return
        if status is None:
            return
        assert before not in ("completed", "cancelled"), "what is final takes no action"
        assert action is Action.CANCEL or not self.over, "what is over only takes a cancel"
        assert status is not MailingStatus.RUNNING or self.mailing.started, "only the scheduler starts"
        self.step(status)
        assert status_after(action, self.mailing, self.now) is None, "repeating it changes nothing"

    @rule(data=st.data())
    def the_scheduler_steps(self, data: st.DataObject) -> None:
        targets = sorted(SCHEDULER_STEPS.get(self.mailing.status, ()))
        if targets:
            self.step(data.draw(st.sampled_from(targets)))

    @precondition(lambda self: self.over and self.mailing.status not in ("draft", "cancelled"))
    @rule()
    def the_scheduler_closes(self) -> None:
        self.mailing = replace(self.mailing, closed_at=self.mailing.closed_at or self.now)

    @rule(asked=st.frozensets(st.sampled_from(FIELDS), min_size=1))
    def an_operator_edits(self, asked: frozenset[str]) -> None:
        status = self.mailing.status
        try:
            check_editable(self.mailing, asked, self.now)
        except Conflict:
            may_change = status is MailingStatus.DRAFT or (
                status not in ("completed", "cancelled")
                and not self.over
                and not (self.mailing.started and asked & {"audience", "start_at", "on_unknown"})
            )
            assert not may_change, (status, asked)
            return
        assert status not in ("completed", "cancelled")
        assert not self.over or status is MailingStatus.DRAFT
        revision = self.mailing.revision + 1
        values: dict[str, object] = {
            "audience": Audience(tags=(f"revision-{revision}",)),
            "end_at": self.now + timedelta(hours=2),
            "name": f"revision {revision}",
            "on_unknown": OnUnknown.HOLD,
            "start_at": self.now + timedelta(minutes=revision),
            "text": f"hello {revision}",
        }
        changes = {name: value for name, value in values.items() if name in asked}
        self.mailing = replace(self.mailing, revision=revision, **changes)  # type: ignore[arg-type] # by name

    @invariant()
    def what_was_fixed_at_the_start_is_as_it_was(self) -> None:
        if self.fields_when_started is not None:
            assert self.frozen_fields() == self.fields_when_started

    @invariant()
    def what_runs_or_has_completed_has_started(self) -> None:
        if self.mailing.status is MailingStatus.RUNNING:
            assert self.mailing.started


TestMailingLife = MailingLife.TestCase
