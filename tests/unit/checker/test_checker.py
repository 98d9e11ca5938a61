"""Given a run in which one promise is broken, when it is checked, then the checker names that promise and no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.window import LocalWindow, parse_local_time
from tests.support.checker import Broken, check, doubled_and_marked
from tests.support.facts import Call, Change, Facts, Freeze, MailingFacts, MessageFacts, claim_header

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEXT = "hello"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def always(value: Any) -> tuple[Change[Any], ...]:
    return (Change(at(-60), at(-60), value),)


def a_message(number: int, status: str, *outcomes: str, **changed: Any) -> MessageFacts:
    ambiguous = "unknown" in outcomes
    message = MessageFacts(number, 1, 100 + number, status, ambiguous, len(outcomes), 3, outcomes)
    return replace(message, **changed)


def a_call(
    number: int, second: float, *, accepted: bool = True, text: str = TEXT, claimed: float | None = None
) -> Call:
    claimed_at = at(second - 0.1 if claimed is None else claimed)
    return Call(number, text, at(second), accepted, claimed_at, at(second - 0.05), sender=7)


def a_run(**changed: Any) -> Facts:
    """Four clients: sent, sent at the second attempt after an unknown first, failed, expired. All is well."""
    mailing = MailingFacts(1, frozenset({101, 102, 103, 104}), always(TEXT), always(at(60)), always(True))
    run = Facts(
        mailings=[mailing],
        messages=[
            a_message(1, "sent", "accepted"),
            a_message(2, "sent", "unknown", "accepted"),
            a_message(3, "failed", "permanent"),
            a_message(4, "expired"),
        ],
        calls=[a_call(1, 1), a_call(2, 1), a_call(2, 7), a_call(3, 1, accepted=False)],
        dead_letters=[3],
    )
    return replace(run, **changed)


def broken(run: Facts) -> list[Broken]:
    return [problem.broken for problem in check(run)]


def with_mailing(**changed: Any) -> Facts:
    run = a_run()
    return replace(run, mailings=[replace(run.mailings[0], **changed)])


def with_message(message: MessageFacts, **changed: Any) -> Facts:
    run = a_run()
    messages = [message if one.id == message.id else one for one in run.messages]
    return replace(run, messages=messages, **changed)


def with_calls(*calls: Call) -> Facts:
    return a_run(calls=[*a_run().calls, *calls])


def test_a_run_in_which_all_is_well() -> None:
    assert check(a_run()) == []
    assert doubled_and_marked(a_run()) == 1


def test_a_client_without_a_message() -> None:
    run = a_run()
    assert broken(replace(run, messages=run.messages[:3])) == [Broken.LOST]


def test_a_client_with_two_messages() -> None:
    second = a_message(5, "expired", client_id=104)
    assert broken(a_run(messages=[*a_run().messages, second])) == [Broken.LOST]


def test_a_client_who_left_or_whose_mailing_was_cut_short_may_have_no_message() -> None:
    run = a_run()
    without = replace(run, messages=run.messages[:3])
    assert check(replace(without, left={104: Change(at(0), at(1), True)})) == []
    assert check(replace(without, mailings=[replace(run.mailings[0], planned_whole=False)])) == []


def test_a_message_to_somebody_outside_the_audience() -> None:
    assert broken(a_run(messages=[*a_run().messages, a_message(9, "expired")])) == [Broken.AUDIENCE]


def test_a_message_of_an_unknown_mailing() -> None:
    assert broken(a_run(messages=[*a_run().messages, a_message(9, "expired", mailing_id=2)])) == [Broken.AUDIENCE]


@pytest.mark.parametrize("status", ["waiting", "queued", "sending", "retrying"])
def test_a_message_that_is_open_when_all_is_over(status: str) -> None:
    assert broken(with_message(a_message(4, status))) == [Broken.LOST]


def test_a_sent_message_that_nobody_accepted() -> None:
    run = a_run()
    assert broken(replace(run, calls=run.calls[1:])) == [Broken.LOST]


def test_an_accepted_message_that_is_called_failed() -> None:
    run = with_message(a_message(3, "failed", "accepted"))
    assert broken(replace(run, calls=[*run.calls[:3], a_call(3, 1)])) == [Broken.DENIED]


def test_an_accepted_call_that_no_message_knows() -> None:
    assert broken(with_calls(a_call(77, 2))) == [Broken.DENIED]


def test_a_double_that_is_not_marked() -> None:
    assert broken(with_message(a_message(2, "sent", "unknown", "accepted", ambiguous=False))) == [Broken.DOUBLED]


def test_a_double_that_is_marked_but_not_allowed() -> None:
    assert broken(with_mailing(may_repeat=False)) == [Broken.DOUBLED]


def test_an_attempt_that_called_twice() -> None:
    found = broken(with_calls(a_call(1, 3)))
    assert found == [Broken.DOUBLED, Broken.ATTEMPTS]


def test_more_attempts_than_there_may_be() -> None:
    refused = a_message(3, "failed", "refused", "refused", "refused", "permanent")
    assert broken(with_message(refused)) == [Broken.ATTEMPTS]


@pytest.mark.parametrize("attempt", [0, 2])
def test_attempts_that_do_not_agree_with_their_history(attempt: int) -> None:
    assert broken(with_message(a_message(3, "failed", "permanent", attempt=attempt))) == [Broken.ATTEMPTS]


def test_a_claim_that_was_taken_for_lost_before_its_time() -> None:
    hasty = a_message(2, "sent", "unknown", "accepted", lost_claims=(at(1),), changed_at=at(40))
    run = with_message(hasty, calls=[a_call(1, 1), a_call(2, 1), a_call(3, 1, accepted=False)])
    assert check(replace(run, calls=[*run.calls, a_call(2, 36)])) == []
    assert broken(replace(run, calls=[*run.calls, a_call(2, 7)])) == [Broken.HASTY]
    held = a_message(2, "unknown", "unknown", lost_claims=(at(1),), changed_at=at(5))
    assert broken(with_message(held, calls=run.calls, dead_letters=[2, 3])) == [Broken.HASTY]


@pytest.mark.parametrize("started", [60.0, 61.0])
def test_a_call_that_was_started_at_or_after_the_end(started: float) -> None:
    late = Call(3, TEXT, at(started + 0.5), False, at(59), at(started), sender=7)
    assert broken(with_calls(late)) == [Broken.LATE]


def test_a_call_that_was_under_way_at_the_end() -> None:
    under_way = Call(3, TEXT, at(60.5), False, at(59), at(59.9), sender=7)
    assert check(with_calls(under_way)) == []


def test_a_call_that_arrived_long_after_the_end_although_it_was_started_before() -> None:
    late = Call(3, TEXT, at(70), False, at(59), at(59.9), sender=7)
    assert broken(with_calls(late)) == [Broken.LATE]
    stopped = with_calls(late)
    assert check(replace(stopped, freezes=[Freeze(7, at(59.95), at(69.5))])) == []
    assert broken(replace(stopped, freezes=[Freeze(8, at(59.95), at(69.5))])) == [Broken.LATE]


def test_an_end_that_was_moved() -> None:
    history = (*always(at(60)), Change(at(10), at(11), at(20)))
    after_the_new_end = a_call(3, 30, accepted=False)
    claimed_in_between = Call(3, TEXT, at(20.5), False, at(10.5), at(20.1), sender=7)
    run = with_mailing(ends=history)
    assert broken(replace(run, calls=[*run.calls, after_the_new_end])) == [Broken.LATE]
    assert check(replace(run, calls=[*run.calls, claimed_in_between])) == []


@pytest.mark.parametrize(
    ("claimed", "late"),
    [(9.0, False), (10.5, False), (11.0, True), (15.0, True), (20.1, False)],
    ids=["before it was asked for", "while it was answered", "at the answer", "in the pause", "after the resume"],
)
def test_a_call_in_a_pause(claimed: float, late: bool) -> None:
    pause, resume = Change(at(10), at(11), False), Change(at(20), at(20.5), True)
    run = with_mailing(runs=(*always(True), pause, resume))
    call = Call(3, TEXT, at(claimed + 0.2), False, at(claimed), at(claimed + 0.1), sender=7)
    assert broken(replace(run, calls=[*run.calls, call])) == ([Broken.LATE] if late else [])


def test_a_call_after_a_cancel() -> None:
    run = with_mailing(runs=(*always(True), Change(at(10), at(11), False)), planned_whole=False)
    assert check(run) == []
    assert broken(replace(run, calls=[*run.calls, a_call(3, 12, accepted=False)])) == [Broken.LATE]


def test_a_call_after_a_deletion() -> None:
    run = with_mailing(runs=(*always(True), Change(at(10), at(11), False)), planned_whole=False, deleted=True)
    removed = replace(run, messages=[], dead_letters=[])
    assert check(removed) == []
    assert broken(replace(removed, calls=[*run.calls, a_call(1, 12)])) == [Broken.LATE]
    assert broken(replace(run, dead_letters=[3])) == [Broken.AUDIENCE]


def test_a_pause_of_which_no_answer_came_binds_nobody() -> None:
    run = with_mailing(runs=(*always(True), Change(at(10), None, False)))
    assert check(replace(run, calls=[*run.calls, a_call(3, 15, accepted=False)])) == []


def test_a_call_to_a_client_who_had_left() -> None:
    run = with_calls(a_call(3, 12, accepted=False))
    assert broken(replace(run, left={103: Change(at(10), at(11), True)})) == [Broken.LATE]
    assert check(replace(run, left={103: Change(at(11.5), at(13), True)})) == []


def test_a_call_outside_the_window() -> None:
    window = LocalWindow(parse_local_time("start", "11:00"), parse_local_time("end", "13:00"))
    open_for_all = with_mailing(window=window, timezones=dict.fromkeys((101, 102, 103), "UTC"))
    assert check(open_for_all) == []
    closed_for_one = with_mailing(window=window, timezones={101: "UTC", 103: "Asia/Tokyo"})
    assert broken(closed_for_one) == [Broken.LATE]


def test_a_text_that_had_been_edited() -> None:
    texts = (*always(TEXT), Change(at(10), at(11), "goodbye"))
    run = with_mailing(texts=texts)
    stale, fresh = a_call(3, 12, accepted=False), a_call(3, 12, accepted=False, text="goodbye")
    too_soon = a_call(3, 9, accepted=False, text="goodbye")
    assert check(replace(run, calls=[*run.calls, fresh])) == []
    assert broken(replace(run, calls=[*run.calls, stale])) == [Broken.STALE]
    assert broken(replace(run, calls=[*run.calls, too_soon])) == [Broken.STALE]


@pytest.mark.parametrize(
    "entries", [[], [3, 3], [3, 1], [3, 4], [3, 99]], ids=["missing", "double", "of sent", "of expired", "of nobody"]
)
def test_dead_letters_that_are_not_as_they_should_be(entries: list[int]) -> None:
    assert broken(a_run(dead_letters=entries)) == [Broken.LETTERS]


def test_an_unknown_message_without_its_dead_letter() -> None:
    unknown = a_message(2, "unknown", "unknown", "unknown")
    assert broken(with_message(unknown)) == [Broken.LETTERS]
    assert check(with_message(unknown, dead_letters=[3, 2])) == []


def test_a_parked_body_that_nobody_sent() -> None:
    assert broken(a_run(parked=1)) == [Broken.LETTERS]


def test_what_the_ledger_keeps_of_a_claim() -> None:
    entry = {
        "message_id": 1,
        "text": TEXT,
        "arrived_at": at(2).isoformat(),
        "accepted": True,
        "headers": {"x-mailrun-claim": claim_header(at(1), at(1.5), 7)},
    }
    assert Call.from_ledger(entry) == Call(1, TEXT, at(2), True, at(1), at(1.5), 7)
    without = Call.from_ledger(entry | {"headers": {}})
    assert (without.claimed_at, without.started_at, without.sender) == (None, None, None)


def test_without_a_claim_a_call_counts_as_claimed_as_early_as_it_can_have_been() -> None:
    run = with_mailing(runs=(*always(True), Change(at(10), at(11), False)))
    in_flight = Call(3, TEXT, at(12.9), False)
    late = Call(3, TEXT, at(13.1), False)
    assert check(replace(run, calls=[*run.calls, in_flight])) == []
    assert broken(replace(run, calls=[*run.calls, late])) == [Broken.LATE]
