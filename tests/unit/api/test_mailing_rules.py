"""From the body of a mailing to a mailing, and from a patch to the fields that it changes."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from services.api.mailing_rules import check_interval, default_times, edits_of, mailing_of
from services.api.mailing_views import MailingBody, MailingPatch
from services.api.problems import Refusal
from services.api.validated import validated
from shared.domain.audience import Audience
from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, RUNNING, SCHEDULED, Mailing
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from shared.errors import Conflict, InvalidInput

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def mailing(**changes: Any) -> Mailing:
    return replace(
        Mailing(
            id=1,
            name="Spring",
            text="Hello",
            audience=Audience(tags=("vip",)),
            start_at=NOW + HOUR,
            end_at=NOW + 2 * HOUR,
            local_window=LocalWindow(time(9), time(21)),
            rate_per_s=5.0,
            on_unknown=OnUnknown.RESEND,
            status=SCHEDULED,
        ),
        **changes,
    )


def created(**fields: Any) -> Mailing:
    body = {"text": "Hello", "audience": {"everyone": True}} | fields
    made = mailing_of(validated(MailingBody, body), NOW, OnUnknown.HOLD)
    check_interval(made, NOW)
    return made


def edits(seen: Mailing, **patch: Any) -> dict[str, Any]:
    given = validated(MailingPatch, patch).model_dump(exclude_unset=True)
    return edits_of(seen, given, NOW, OnUnknown.HOLD)


def test_a_mailing_that_names_no_times_starts_now_and_lasts_a_day() -> None:
    made = created()
    assert (made.start_at, made.end_at) == (NOW, NOW + timedelta(hours=24))
    assert (made.status, made.on_unknown, made.name) == (SCHEDULED, OnUnknown.HOLD, "")


def test_the_end_is_a_day_after_a_start_that_is_named() -> None:
    made = created(start_at="2030-02-01T00:00:00+03:00")
    assert made.end_at == datetime(2030, 2, 1, 21, tzinfo=UTC)


def test_a_start_in_the_past_is_a_start_at_once() -> None:
    assert created(start_at="2030-01-01T11:00:00Z").start_at == NOW - HOUR


def test_a_drafts_times_stay_open_until_its_launch() -> None:
    draft = created(draft=True)
    assert (draft.status, draft.start_at, draft.end_at) == (DRAFT, None, None)
    assert default_times(draft, NOW + HOUR) == (NOW + HOUR, NOW + HOUR + timedelta(hours=24))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"end_at": "2030-01-01T12:00:00Z"}, "end_at"),
        ({"end_at": "2030-01-01T11:00:00Z", "draft": True}, "end_at"),
        ({"start_at": "2030-01-01T14:00:00Z", "end_at": "2030-01-01T14:00:00Z"}, "end_at"),
        ({"start_at": "2020-01-01T14:00:00Z"}, "end_at"),
        ({"name": "   "}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"name": "a\0"}, "name"),
        ({"text": ""}, "text"),
        ({"text": "a" * 2_001}, "text"),
        ({"text": "{"}, "text"),
        ({"text": "{a b}"}, "text"),
        ({"audience": {"tags": ["a", ""]}}, "audience/tags/1"),
        ({"audience": {"operator_codes": ["9000"]}}, "audience/operator_codes/0"),
        ({"audience": {"operator_codes": ["900"], "everyone": True}}, "audience/everyone"),
        ({"local_window": {"start": "9:00", "end": "21:00"}}, "local_window/start"),
        ({"local_window": {"start": "09:00", "end": "24:00"}}, "local_window/end"),
        ({"local_window": {"start": "09:00", "end": "09:00"}}, "local_window"),
    ],
)
def test_what_breaks_a_rule_is_refused_with_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        created(**fields)
    assert refused.value.field == field


@pytest.mark.parametrize("audience", [{}, {"everyone": False}, {"tags": [], "operator_codes": []}])
def test_a_forgotten_filter_never_means_everybody(audience: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        created(audience=audience)
    assert (refused.value.status_code, refused.value.code) == (422, "audience_missing")


@pytest.mark.parametrize(
    "patch",
    [
        {},
        {"text": "Hello", "name": "Spring"},
        {"audience": {"tags": ["vip", "vip"]}},
        {"audience": {}},
        {"local_window": {"end": "21:00"}},
        {"start_at": "2030-01-01T16:00:00+03:00"},
        {"rate_per_s": 5},
    ],
)
@pytest.mark.parametrize("status", [SCHEDULED, RUNNING, COMPLETED, CANCELLED])
def test_an_edit_that_changes_nothing_is_none_whatever_the_status(patch: dict[str, Any], status: Any) -> None:
    assert edits(mailing(status=status, started=status is RUNNING), **patch) == {}


def test_objects_are_merged_and_null_takes_back() -> None:
    seen = mailing()
    assert edits(seen, audience={"operator_codes": ["900"]}) == {"audience": Audience(("900",), ("vip",))}
    assert edits(seen, audience={"operator_codes": ["900"], "tags": None}) == {"audience": Audience(("900",), ())}
    assert edits(seen, local_window={"end": "06:00"}) == {"local_window": LocalWindow(time(9), time(6))}
    assert edits(seen, local_window=None, rate_per_s=None) == {"local_window": None, "rate_per_s": None}
    assert edits(seen, on_unknown=None, name=None) == {"on_unknown": OnUnknown.HOLD, "name": ""}
    assert edits(seen, start_at=None) == {"start_at": NOW}
    assert edits(seen, end_at=None) == {"end_at": NOW + 25 * HOUR}
    assert edits(mailing(status=DRAFT), start_at=None, end_at=None) == {"start_at": None, "end_at": None}


@pytest.mark.parametrize(
    ("patch", "pointer"), [({"text": None}, "/text"), ({"audience": None}, "/audience"), ({"draft": True}, "/draft")]
)
def test_what_a_mailing_cannot_be_without_cannot_be_taken_back(patch: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Refusal) as refused:
        edits(mailing(), **patch)
    assert refused.value.flaws[0].pointer == pointer


def test_a_window_that_was_not_there_needs_both_ends() -> None:
    with pytest.raises(Refusal) as refused:
        edits(mailing(local_window=None), local_window={"start": "09:00"})
    assert refused.value.flaws[0].pointer == "/local_window/end"


def test_the_result_obeys_the_rules_of_a_new_mailing() -> None:
    for patch in ({"end_at": "2030-01-01T12:30:00Z"}, {"end_at": "2029-01-01T00:00:00Z"}):
        with pytest.raises(InvalidInput) as refused:
            edits(mailing(), **patch)
        assert refused.value.field == "end_at"


def test_what_has_started_keeps_its_audience_and_start() -> None:
    running = mailing(status=RUNNING, started=True, start_at=NOW - HOUR)
    assert edits(running, text="Bye") == {"text": "Bye"}
    for patch in ({"audience": {"tags": ["other"]}}, {"start_at": "2030-01-01T12:30:00Z"}, {"on_unknown": "hold"}):
        with pytest.raises(Conflict) as refused:
            edits(running, **patch)
        assert refused.value.code == "mailing_already_running"


def test_what_is_over_cannot_be_edited() -> None:
    ended = mailing(status=RUNNING, started=True, start_at=NOW - 2 * HOUR, end_at=NOW)
    for seen, code in ((ended, "mailing_ended"), (mailing(status=COMPLETED), "mailing_completed")):
        with pytest.raises(Conflict) as refused:
            edits(seen, end_at="2030-01-02T00:00:00Z")
        assert refused.value.code == code


def test_the_passed_end_of_a_draft_can_be_moved_and_does_not_hinder_other_edits() -> None:
    draft = mailing(status=DRAFT, start_at=None, end_at=NOW - HOUR)
    assert edits(draft, text="Bye") == {"text": "Bye"}
    assert edits(draft, end_at="2030-01-02T00:00:00Z") == {"end_at": datetime(2030, 1, 2, tzinfo=UTC)}
