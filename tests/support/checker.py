"""Checker: joins what the store says with what the provider's ledger says, and names every promise that is broken."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.domain.client import zone
from shared.domain.message import DEAD, OPEN, SENT, UNKNOWN, Outcome
from tests.support.facts import Call, Change, Facts, MailingFacts, MessageFacts, in_force

MAY_BE_ACCEPTED = {SENT, UNKNOWN}
MAY_HAVE_CALLED = {Outcome.ACCEPTED, Outcome.UNKNOWN}
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Broken(StrEnum):
    """Which promise is broken."""

    LOST = "lost"  # a client without a message, a message that is open, one that is `sent` and was not accepted
    DOUBLED = "doubled"  # accepted more often than is marked, or than may be
    DENIED = "denied"  # accepted, and the store says that it was not
    LATE = "late"  # called when no call might be made
    STALE = "stale"  # called with a text that had been edited
    ATTEMPTS = "attempts"  # more attempts than there may be, or other ones than were counted
    HASTY = "hasty"  # a claim was taken for lost while its sender may have been at work
    LETTERS = "letters"  # `messages.dead` is not what it should be
    AUDIENCE = "audience"  # somebody who is not in the audience has a message
    STUCK = "stuck"  # the run itself did not come to its end
    ENDED = "ended"  # a process that was asked to stop did not end well


@dataclass(frozen=True, slots=True)
class Problem:
    """A promise that is broken, and by what."""

    broken: Broken
    what: str

    def __str__(self) -> str:
        return f"{self.broken}: {self.what}"


def check(facts: Facts) -> list[Problem]:
    """Everything that is wrong with a run that is over."""
    mailings = {mailing.id: mailing for mailing in facts.mailings}
    problems: list[Problem] = []
    for mailing in facts.mailings:
        ours = [message for message in facts.messages if message.mailing_id == mailing.id]
        problems += _audience(mailing, ours, facts)
    for message in facts.messages:
        if message.mailing_id not in mailings:
            problems.append(Problem(Broken.AUDIENCE, f"message {message.id} is of an unknown mailing"))
    problems += _statuses(facts)
    problems += _accepted(facts, mailings)
    problems += _attempts(facts)
    problems += _lost_claims(facts)
    problems += _times(facts, mailings)
    problems += _letters(facts)
    return problems


def doubled_and_marked(facts: Facts) -> int:
    """Messages that the provider accepted more than once and that say so."""
    accepted = Counter(call.message_id for call in facts.calls if call.accepted)
    return sum(message.ambiguous and accepted[message.id] > 1 for message in facts.messages)


def _audience(mailing: MailingFacts, messages: Sequence[MessageFacts], facts: Facts) -> Iterator[Problem]:
    """Every client of the audience in exactly one status, and nobody else in any."""
    count = Counter(message.client_id for message in messages)
    may_lack = not mailing.planned_whole or mailing.deleted
    for client_id in sorted(mailing.client_ids):
        have = count[client_id]
        if have > 1 or (have == 0 and not may_lack and client_id not in facts.left):
            yield Problem(Broken.LOST, f"mailing {mailing.id}: client {client_id} has {have} messages")
    if strangers := sorted(set(count) - mailing.client_ids):
        yield Problem(Broken.AUDIENCE, f"mailing {mailing.id}: messages to {strangers[:10]}, outside the audience")
    if mailing.deleted and messages:
        yield Problem(Broken.AUDIENCE, f"mailing {mailing.id} is deleted and has {len(messages)} messages")


def _statuses(facts: Facts) -> Iterator[Problem]:
    """Nothing is open; every `sent` was accepted."""
    accepted = {call.message_id for call in facts.calls if call.accepted}
    for message in facts.messages:
        if message.status in OPEN:
            yield Problem(Broken.LOST, f"message {message.id} is {message.status}, although the mailing is over")
        if message.status == SENT and message.id not in accepted:
            yield Problem(Broken.LOST, f"message {message.id} is sent, but the provider accepted nothing")


def _accepted(facts: Facts, mailings: Mapping[int, MailingFacts]) -> Iterator[Problem]:
    """Every accepted call belongs to a message that may have been accepted; more than one are marked, and allowed."""
    messages = {message.id: message for message in facts.messages}
    removed = {change.value for mailing in mailings.values() if mailing.deleted for change in mailing.texts}
    accepted = Counter(call.message_id for call in facts.calls if call.accepted)
    texts = {call.message_id: call.text for call in facts.calls}
    for message_id, times in sorted(accepted.items()):
        message = messages.get(message_id)
        if message is None:
            if texts[message_id] not in removed:
                yield Problem(Broken.DENIED, f"the provider accepted message {message_id}, which nobody knows")
            continue
        if message.status not in MAY_BE_ACCEPTED:
            yield Problem(Broken.DENIED, f"message {message_id} is {message.status}, but the provider accepted it")
        if times < 2:
            continue
        mailing = mailings.get(message.mailing_id)
        if not message.ambiguous:
            yield Problem(Broken.DOUBLED, f"message {message_id} was accepted {times} times and is not marked")
        if mailing is not None and not mailing.may_repeat:
            yield Problem(Broken.DOUBLED, f"message {message_id} was accepted {times} times, and may not be repeated")


def _attempts(facts: Facts) -> Iterator[Problem]:
    """No message above its attempts, each attempt in the history, at most one call of each that may be accepted."""
    accepted = Counter(call.message_id for call in facts.calls if call.accepted)
    for message in facts.messages:
        if message.attempt > message.last_attempt:
            what = f"message {message.id} had attempt {message.attempt} of {message.last_attempt}"
            yield Problem(Broken.ATTEMPTS, what)
        if message.status not in OPEN and message.attempt != len(message.outcomes):
            what = f"message {message.id} counts {message.attempt} attempts, its history {len(message.outcomes)}"
            yield Problem(Broken.ATTEMPTS, what)
        may_have_called = sum(outcome in MAY_HAVE_CALLED for outcome in message.outcomes)
        if accepted[message.id] > may_have_called:
            what = f"message {message.id} was accepted {accepted[message.id]} times in {list(message.outcomes)}"
            yield Problem(Broken.ATTEMPTS, what)


def _lost_claims(facts: Facts) -> Iterator[Problem]:
    """A claim is taken for lost when it has outlived its limit, and not before."""
    claims: dict[int, list[datetime]] = {}
    for call in facts.calls:
        if call.claimed_at is not None:
            claims.setdefault(call.message_id, []).append(call.claimed_at)
    for message in facts.messages:
        for lost_at in message.lost_claims:
            later = [claimed_at for claimed_at in claims.get(message.id, ()) if claimed_at > lost_at]
            known_at = min([*later, *([message.changed_at] if message.changed_at else [])], default=None)
            if known_at is not None and known_at < lost_at + facts.claim_limit:
                age_s = (known_at - lost_at).total_seconds()
                yield Problem(Broken.HASTY, f"message {message.id}: a claim was taken for lost within {age_s:.1f} s")


def _times(facts: Facts, mailings: Mapping[int, MailingFacts]) -> Iterator[Problem]:
    """No call at or after the end, outside the window, in a pause, after a cancel, or to a client who has left."""
    messages = {message.id: message for message in facts.messages}
    by_text = {change.value: mailing for mailing in mailings.values() for change in mailing.texts}
    for call in facts.calls:
        message = messages.get(call.message_id)
        mailing = mailings.get(message.mailing_id) if message else by_text.get(call.text)
        if mailing is None:
            continue
        who = f"message {call.message_id} of mailing {mailing.id}, called at {call.arrived_at:%H:%M:%S.%f},"
        claimed_at, started_at = facts.claimed_at(call), facts.started_at(call)
        if True not in in_force(mailing.runs or (Change(LONG_AGO, LONG_AGO, True),), claimed_at, started_at):
            yield Problem(Broken.LATE, f"{who} was claimed at {claimed_at:%H:%M:%S.%f}, when no call might be made")
        if mailing.texts and call.text not in in_force(mailing.texts, claimed_at, started_at):
            yield Problem(Broken.STALE, f"{who} had a text that was no longer in force at its claim")
        yield from _ends(facts, mailing, call, who)
        if message is None:
            continue
        left = facts.left.get(message.client_id)
        if left is not None and left.answered_at is not None and claimed_at >= left.answered_at:
            yield Problem(Broken.LATE, f"{who} went to client {message.client_id}, who had left")
        timezone = mailing.timezones.get(message.client_id)
        if mailing.window is None or timezone is None:
            continue
        if not mailing.window.is_open(started_at, zone(timezone)):
            yield Problem(Broken.LATE, f"{who} was outside the window of {timezone}")


def _ends(facts: Facts, mailing: MailingFacts, call: Call, who: str) -> Iterator[Problem]:
    ends = in_force(mailing.ends, facts.claimed_at(call), facts.started_at(call))
    if not ends:
        return
    end_at = max(ends)
    if call.started_at is not None and call.started_at >= end_at:
        yield Problem(Broken.LATE, f"{who} was started at or after the end, {end_at:%H:%M:%S.%f}")
    elif call.arrived_at >= end_at + facts.in_flight and not facts.was_frozen(call):
        yield Problem(Broken.LATE, f"{who} was after the end, {end_at:%H:%M:%S.%f}, and what may be in flight then")


def _letters(facts: Facts) -> Iterator[Problem]:
    """Every `failed` and `unknown` message has its entry in `messages.dead`, and no other has."""
    deserved = {message.id for message in facts.messages if message.status in DEAD}
    entries = Counter(facts.dead_letters)
    for message_id in sorted(deserved - set(entries)):
        yield Problem(Broken.LETTERS, f"message {message_id} has no dead letter")
    for message_id, count in sorted(entries.items()):
        if message_id not in deserved:
            yield Problem(Broken.LETTERS, f"message {message_id} has a dead letter that it does not deserve")
        elif count > 1:
            yield Problem(Broken.LETTERS, f"message {message_id} has {count} dead letters")
    if facts.parked:
        yield Problem(Broken.LETTERS, f"{facts.parked} bodies are parked, although nobody sent any")


def broken_promises(
    *,
    client_ids: Iterable[int],
    messages: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    end_at: datetime | None = None,
    grace: timedelta = timedelta(0),
) -> list[str]:
    """What of the promises does not hold for one mailing that is over, as far as the API's lists can tell.

    Args:
        client_ids: whom the audience consists of.
        messages: as the API lists them.
        calls: the ledger's calls of this mailing.
        end_at: no call may start at or after it.
        grace: how much later than it a call may still arrive at the provider that was started before.
    """
    listed = [
        MessageFacts(
            one["id"], 0, one["client_id"], one["status"], one["ambiguous"], one["attempt"], one["attempt"], ()
        )
        for one in messages
    ]
    ends = () if end_at is None else (Change(LONG_AGO, LONG_AGO, end_at),)
    mailing = MailingFacts(0, frozenset(client_ids), texts=(), ends=ends)
    facts = Facts([mailing], listed, [Call.from_ledger(call) for call in calls], in_flight=grace)
    problems = [*_audience(mailing, listed, facts), *_statuses(facts), *_accepted(facts, {0: mailing})]
    return [str(problem) for problem in [*problems, *_times(facts, {0: mailing})]]
