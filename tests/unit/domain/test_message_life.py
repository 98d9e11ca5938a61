"""One message through any life that the domain allows, beside a provider that remembers what it really accepted."""

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shared.domain.message import (
    CLAIMABLE,
    DEAD,
    FINAL,
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

ATTEMPTS_OF_A_LIFE = 3


@dataclass
class Provider:
    """What a provider knows that Mailrun may not."""

    accepted_calls: int = 0

    def called(self, outcome: Outcome, *, lost_answer_was_yes: bool) -> None:
        if outcome is Outcome.ACCEPTED or (outcome is Outcome.UNKNOWN and lost_answer_was_yes):
            self.accepted_calls += 1


class MessageLife(RuleBasedStateMachine):
    """Takes steps as the scheduler, the senders and the API do. Each of them must be in the table."""

    @initialize(
        planned_as=st.sampled_from(sorted(PLANNED_AS)),
        on_unknown=st.sampled_from(OnUnknown),
    )
    def planned(self, planned_as: MessageStatus, on_unknown: OnUnknown) -> None:
        self.status = planned_as
        self.on_unknown = on_unknown
        self.ambiguous = False
        self.attempt = 0
        self.last_attempt = ATTEMPTS_OF_A_LIFE
        self.replays = 0
        self.provider = Provider()

    def step(self, status: MessageStatus, actor: Actor) -> None:
        assert actor in STEPS[self.status].get(status, frozenset()), (self.status, status, actor)
        self.status = status

    @precondition(lambda self: self.status is MessageStatus.WAITING)
    @rule()
    def released(self) -> None:
        self.step(MessageStatus.QUEUED, Actor.SCHEDULER)

    @precondition(lambda self: self.status in CLAIMABLE)
    @rule()
    def claimed(self) -> None:
        self.step(MessageStatus.SENDING, Actor.SENDER)
        self.attempt += 1

    @precondition(lambda self: self.status is MessageStatus.SENDING)
    @rule(back_to=st.sampled_from((MessageStatus.QUEUED, MessageStatus.WAITING)))
    def given_back_without_a_call(self, back_to: MessageStatus) -> None:
        self.step(back_to, Actor.SENDER)
        self.attempt -= 1

    @precondition(lambda self: self.status is MessageStatus.SENDING)
    @rule()
    def found_without_its_client(self) -> None:
        self.step(given_up(MessageStatus.CANCELLED, ambiguous=self.ambiguous), Actor.SENDER)

    @precondition(lambda self: self.status is MessageStatus.SENDING)
    @rule(outcome=st.sampled_from(Outcome), lost_answer_was_yes=st.booleans())
    def called(self, outcome: Outcome, lost_answer_was_yes: bool) -> None:
        was_ambiguous = self.ambiguous
        self.provider.called(outcome, lost_answer_was_yes=lost_answer_was_yes)
        status, self.ambiguous = status_after(
            outcome,
            attempt=self.attempt,
            last_attempt=self.last_attempt,
            ambiguous=self.ambiguous,
            on_unknown=self.on_unknown,
        )
        self.step(status, Actor.SENDER)
        assert self.ambiguous or not was_ambiguous, "that a call's outcome was unknown is never forgotten"

    @precondition(lambda self: self.status in UNSENT)
    @rule(
        end=st.sampled_from(
            (
                (MessageStatus.EXPIRED, Actor.SCHEDULER),
                (MessageStatus.CANCELLED, Actor.SCHEDULER),
                (MessageStatus.CANCELLED, Actor.API),
            )
        )
    )
    def swept(self, end: tuple[MessageStatus, Actor]) -> None:
        status, actor = end
        self.step(given_up(status, ambiguous=self.ambiguous), actor)

    @precondition(lambda self: self.status in DEAD and self.replays < 2)
    @rule()
    def replayed(self) -> None:
        self.step(MessageStatus.QUEUED, Actor.SCHEDULER)
        self.replays += 1
        self.last_attempt = self.attempt + ATTEMPTS_OF_A_LIFE

    @rule()
    def left_alone(self) -> None:
        if self.status in FINAL:
            assert set(STEPS[self.status]) <= {MessageStatus.QUEUED}, "a final status is left by a replay alone"

    @invariant()
    def what_is_said_of_it_is_true(self) -> None:
        accepted_calls = self.provider.accepted_calls
        if self.status is MessageStatus.SENT:
            assert accepted_calls >= 1
        if self.status in FINAL - {MessageStatus.SENT, MessageStatus.UNKNOWN}:
            assert accepted_calls == 0
        if self.status is MessageStatus.UNKNOWN:
            assert self.ambiguous
        if accepted_calls > 1:
            assert self.ambiguous
            assert self.on_unknown is OnUnknown.RESEND or self.replays

    @invariant()
    def it_is_not_tried_for_ever(self) -> None:
        assert 0 <= self.attempt <= self.last_attempt
        if self.status in CLAIMABLE:
            assert self.attempt < self.last_attempt


TestMessageLife = MessageLife.TestCase
