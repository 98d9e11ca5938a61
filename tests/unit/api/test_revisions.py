"""Revisions: what each edit changed, told from what the fields had been before."""

from datetime import UTC, datetime, timedelta

from services.api.mailing_messages import revisions_of
from shared.domain.audience import Audience
from shared.domain.mailing import RUNNING, Mailing
from shared.domain.message import OnUnknown

CREATED_AT = datetime(2030, 1, 1, tzinfo=UTC)
MAILING = Mailing(
    id=1,
    name="Spring",
    text="third",
    audience=Audience(everyone=True),
    start_at=CREATED_AT,
    end_at=CREATED_AT + timedelta(hours=2),
    local_window=None,
    rate_per_s=None,
    on_unknown=OnUnknown.RESEND,
    status=RUNNING,
    revision=3,
    created_at=CREATED_AT,
)


def test_a_field_became_what_it_was_before_the_next_edit_of_it() -> None:
    # Given a text that was edited twice, the second time together with the end
    end_before = CREATED_AT + timedelta(hours=1)
    edited = [
        {"revision": 2, "at": CREATED_AT + timedelta(minutes=1), "before": {"text": "first"}},
        {"revision": 3, "at": CREATED_AT + timedelta(minutes=2), "before": {"text": "second", "end_at": end_before}},
    ]
    # When its revisions are told
    first, second, third = revisions_of(MAILING, edited, {1: 10, 3: 5})
    # Then each names what it changed, and how many messages were sent from it
    assert (first.revision, first.edits, first.sent) == (1, [], 10)
    assert [(edit.field, edit.before, edit.after) for edit in second.edits] == [("text", "first", "second")]
    assert second.sent == 0
    assert [(edit.field, edit.before, edit.after) for edit in third.edits] == [
        ("end_at", "2030-01-01T01:00:00.000Z", "2030-01-01T02:00:00.000Z"),
        ("text", "second", "third"),
    ]
    assert third.sent == 5


def test_a_mailing_that_was_never_edited_has_one_revision() -> None:
    [only] = revisions_of(MAILING, [], {})
    assert (only.revision, only.at, only.sent) == (1, CREATED_AT, 0)
