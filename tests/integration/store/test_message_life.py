"""The life of messages against a model in plain Python: any changes, in any order, under any token, repeated at will.

After each change the store holds what the model holds, and each step that was taken is one that
`shared.domain.message.STEPS` allows to whoever took it.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from shared.domain.message import (
    CANCELLED,
    CLAIMABLE,
    DEAD,
    EXPIRED,
    FAILED,
    PLANNED_AS,
    QUEUED,
    RETRYING,
    SENDING,
    SENT,
    UNKNOWN,
    UNSENT,
    WAITING,
    Actor,
    MessageStatus,
    OnUnknown,
    Outcome,
    given_up,
    status_after,
)
from shared.store.message_documents import Attempt
from shared.store.message_statuses import Record
from tests.integration.store.life_model import ATTEMPTS, Modelled, ModelledLife
from tests.integration.store.making import after, make_planned

CLIENTS = range(1, 6)
TOKENS = ["first", "second", "third"]


class MessageLife(ModelledLife):
    """One mailing to five clients, whose messages anybody changes."""

    # --- by schedulers ---

    @initialize(statuses=st.lists(st.sampled_from(sorted(PLANNED_AS)), min_size=3, max_size=3))
    def plan_some(self, statuses: list[MessageStatus]) -> None:
        self._plan(list(CLIENTS)[:3], statuses)

    @rule(clients=st.sets(st.sampled_from(CLIENTS), min_size=1), status=st.sampled_from(sorted(PLANNED_AS)))
    def plan(self, clients: set[int], status: MessageStatus) -> None:
        self._plan(sorted(clients), [status] * len(clients))

    def _plan(self, clients: list[int], statuses: list[MessageStatus]) -> None:
        now = self._tick()
        planned = [
            make_planned(self._next_id + at, client_id=client, status=status, last_attempt=ATTEMPTS)
            for at, (client, status) in enumerate(zip(clients, statuses, strict=True))
        ]
        self._next_id += len(planned)
        queued = self._change(lambda: self._store.message_statuses.plan(planned, after(now)))
        known = {message.client_id for message in self._model.values()}
        for one in planned:
            if one.client_id not in known:
                self._model[one.id] = Modelled(one.client_id, one.status, updated_at=now)
        assert set(queued) == {
            number
            for number, message in self._model.items()
            if message.client_id in clients and message.status is QUEUED and message.attempt == 0
        }

    @rule(ids=st.sets(st.integers(1, 12)))
    def release(self, ids: set[int]) -> None:
        now = self._tick()
        self._change(lambda: self._store.message_statuses.release(list(ids), due_at=after(99), now=after(now)))
        for number, message in self._model.items():
            if number in ids and message.status is WAITING:
                self._step(message, QUEUED, Actor.SCHEDULER)

    @rule(ids=st.sets(st.integers(1, 12)), status=st.sampled_from([EXPIRED, CANCELLED]))
    def give_up(self, ids: set[int], status: MessageStatus) -> None:
        now = self._tick()
        self._change(lambda: self._store.message_statuses.give_up(list(ids), status, reason="$r", now=after(now)))
        for number, message in self._model.items():
            if number in ids and message.status in UNSENT:
                self._step(message, given_up(status, ambiguous=message.ambiguous), Actor.SCHEDULER)

    @rule(ids=st.sets(st.integers(1, 12)), since=st.integers(0, 5))
    def replay(self, ids: set[int], since: int) -> None:
        now, asked_at = self._tick(), self._now - since
        self._change(
            lambda: self._store.message_statuses.replay(
                list(ids), attempts=ATTEMPTS, asked_at=after(asked_at), due_at=after(99), now=after(now)
            )
        )
        for number, message in self._model.items():
            if number in ids and message.status in DEAD and message.updated_at <= asked_at:
                message.last_attempt = message.attempt + ATTEMPTS
                self._step(message, QUEUED, Actor.SCHEDULER)

    # --- by the API ---

    @rule(client_id=st.sampled_from(CLIENTS))
    def cancel_of_client(self, client_id: int) -> None:
        now = self._tick()
        told = self._change(
            lambda: self._store.message_statuses.cancel_of_client(client_id, reason="client_gone", now=after(now))
        )
        cancelled = [one for one in self._model.values() if one.client_id == client_id and one.status in UNSENT]
        assert told == ([1] if cancelled else [])
        for message in cancelled:
            self._step(message, given_up(CANCELLED, ambiguous=message.ambiguous), Actor.API)

    # --- by senders ---

    @rule(
        token=st.sampled_from(TOKENS),
        wanted=st.dictionaries(st.integers(1, 12), st.sampled_from([0, 1, 1, 1, 2]), min_size=1),
    )
    def claim(self, token: str, wanted: dict[int, int]) -> None:
        """Claim under a token that nobody holds now; mostly the attempt that comes next."""
        if any(message.token == token and message.status is SENDING for message in self._model.values()):
            return
        now = self._tick()
        attempts = {
            number: max(1, (self._model[number].attempt if number in self._model else 0) + ahead)
            for number, ahead in wanted.items()
        }
        claim = {"token": token, "sender": "s", "at": after(now), "due_at": after(99)}
        won = self._change(lambda: self._store.message_statuses.claim(attempts, **claim))
        expected = set()
        for number, attempt in attempts.items():
            message = self._model.get(number)
            if message is not None and message.status in CLAIMABLE and message.attempt == attempt - 1:
                self._step(message, SENDING, Actor.SENDER)
                message.attempt, message.token = attempt, token
                expected.add(number)
        assert {one.id for one in won} == expected

    @rule(token=st.sampled_from(TOKENS), ids=st.sets(st.integers(1, 12), min_size=1))
    def hand_back(self, token: str, ids: set[int]) -> None:
        now = self._tick()
        undo = {"token": token, "due_at": after(99), "now": after(now)}
        self._undo(token, ids, QUEUED, lambda: self._store.message_statuses.hand_back(list(ids), **undo))

    @rule(token=st.sampled_from(TOKENS), ids=st.sets(st.integers(1, 12), min_size=1))
    def park(self, token: str, ids: set[int]) -> None:
        now = self._tick()
        undo = {"token": token, "due_at": after(99), "reason": "paused", "now": after(now)}
        self._undo(token, ids, WAITING, lambda: self._store.message_statuses.park(list(ids), **undo))

    @rule(token=st.sampled_from(TOKENS), ids=st.sets(st.integers(1, 12), min_size=1))
    def cancel_claimed(self, token: str, ids: set[int]) -> None:
        now = self._tick()
        undo: dict[str, Any] = {"token": token, "reason": "gone", "now": after(now)}
        self._undo(token, ids, CANCELLED, lambda: self._store.message_statuses.cancel_claimed(list(ids), **undo))

    def _undo(self, token: str, ids: set[int], status: MessageStatus, change: Callable[[], Awaitable[int]]) -> None:
        ours = self._under(token, ids)
        assert self._change(change) == len(ours)
        for message in ours:
            ends = status is CANCELLED
            self._step(message, given_up(status, ambiguous=message.ambiguous) if ends else status, Actor.SENDER)
            message.attempt, message.token = message.attempt - 1, None

    @rule(
        token=st.sampled_from(TOKENS),
        outcomes=st.dictionaries(st.integers(1, 12), st.sampled_from(list(Outcome)), min_size=1),
        policy=st.sampled_from(list(OnUnknown)),
    )
    def record(self, token: str, outcomes: dict[int, Outcome], policy: OnUnknown) -> None:
        now = self._tick()
        judged: dict[int, tuple[MessageStatus, bool]] = {}
        for number, outcome in outcomes.items():
            message = self._model.get(number, Modelled(0, SENDING, 1))
            judged[number] = status_after(
                outcome,
                attempt=message.attempt,
                last_attempt=message.last_attempt,
                ambiguous=message.ambiguous,
                on_unknown=policy,
            )
        records = [
            Record(number, *judged[number], None, None, Attempt(after(now), outcomes[number]), 1) for number in outcomes
        ]
        ours = self._under(token, outcomes)
        matched = self._change(lambda: self._store.message_statuses.record(records, token=token, now=after(now)))
        assert matched == len(ours)
        for number, (status, ambiguous) in judged.items():
            message = self._model.get(number)
            if message is not None and any(message is one for one in ours):
                self._step(message, status, Actor.SENDER)
                message.ambiguous, message.token = ambiguous, None
                message.history.append(outcomes[number])

    # --- by the network ---

    @rule()
    def repeat_the_last_change(self) -> None:
        """Its answer was lost. Nothing happens a second time."""
        if self._again is not None:
            self._run(self._again())

    # --- what holds at every moment ---

    @invariant()
    def the_store_holds_what_the_model_holds(self) -> None:
        standings = self._run(self._store.messages.standings(range(1, 100)))
        assert {
            number: (one.client_id, one.status, one.attempt, one.last_attempt, one.ambiguous, one.claim_token)
            for number, one in standings.items()
        } == {
            number: (one.client_id, one.status, one.attempt, one.last_attempt, one.ambiguous, one.token)
            for number, one in self._model.items()
        }

    @invariant()
    def what_a_status_says_is_true(self) -> None:
        for message in self._model.values():
            accepted = message.history.count(Outcome.ACCEPTED)
            unclear = message.history.count(Outcome.UNKNOWN)
            assert (message.status is SENT) == bool(accepted)
            assert accepted <= 1
            assert message.ambiguous == bool(unclear)
            if message.status in (FAILED, EXPIRED, CANCELLED):
                assert not unclear
            if message.status is UNKNOWN:
                assert unclear
            if message.status is RETRYING:
                assert message.attempt < message.last_attempt


def test_messages_live_as_the_model_says(mongo_url: str) -> None:
    MessageLife.mongo_url = mongo_url
    run_state_machine_as_test(
        MessageLife,
        settings=settings(
            max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
