"""What each answer of the provider means: the table of `services.sender.outcome`, row by row."""

import pytest

from services.sender.outcome import judge
from services.sender.provider.provider import Answer
from shared.domain.message import Outcome

REFUSAL_STATUSES = frozenset({429, 500, 503})
ACCEPTED, REFUSED, UNKNOWN, PERMANENT, UNAUTHORISED = Outcome


def answered(status: int, body: bytes | None = b"", error: str | None = None) -> Answer:
    return Answer(status, body, error, started=True, written=True, latency_ms=5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":0,"message":"OK"}',
        b'{"code": 0}',
        b' {"message": null, "code": -0} \r\n',
        '{"code":0,"message":"принято"}'.encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_2xx_with_code_0_is_accepted_whatever_else_it_says(status: int, body: bytes) -> None:
    verdict = judge(answered(status, body), refusal_statuses=REFUSAL_STATUSES)

    assert (verdict.outcome, verdict.reason) == (ACCEPTED, None)


@pytest.mark.parametrize(("body", "reason"), [(b'{"code":1}', "refused_code_1"), (b'{"code":-3}', "refused_code_-3")])
def test_2xx_with_another_integer_code_is_a_refusal_for_good(body: bytes, reason: str) -> None:
    verdict = judge(answered(200, body), refusal_statuses=REFUSAL_STATUSES)

    assert (verdict.outcome, verdict.reason) == (PERMANENT, reason)


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"   ",
        b"<html></html>",
        b'{"code": 0, "mess',
        b'{"code": "0"}',
        b'{"code": true}',
        b'{"code": false}',
        b'{"code": null}',
        b'{"code": 0.0}',
        b'{"code": 1e400}',
        b'{"code": 99999999999999999999999}',
        b'{"status": "accepted"}',
        b"[0]",
        b"0",
        b'"OK"',
        b'{"code": 0, "message": "\xff\xfe"}',
        b"\x00" * 100,
        b"[" * 10_000,
    ],
)
def test_2xx_with_anything_else_cannot_be_known(body: bytes | None) -> None:
    verdict = judge(answered(200, body), refusal_statuses=REFUSAL_STATUSES)

    assert (verdict.outcome, verdict.reason) == (UNKNOWN, "malformed_answer")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (301, UNAUTHORISED),
        (302, UNAUTHORISED),
        (304, UNAUTHORISED),
        (307, UNAUTHORISED),
        (308, UNAUTHORISED),
        (400, PERMANENT),
        (401, UNAUTHORISED),
        (403, UNAUTHORISED),
        (404, PERMANENT),
        (409, PERMANENT),
        (422, PERMANENT),
        (499, PERMANENT),
        (429, REFUSED),
        (500, REFUSED),
        (503, REFUSED),
        (501, UNKNOWN),
        (502, UNKNOWN),
        (504, UNKNOWN),
        (599, UNKNOWN),
        (101, UNKNOWN),
        (600, UNKNOWN),
    ],
)
@pytest.mark.parametrize("body", [b'{"code":0}', b"", None])
def test_any_other_status_decides_by_itself(status: int, outcome: Outcome, body: bytes | None) -> None:
    verdict = judge(answered(status, body, "the body broke off"), refusal_statuses=REFUSAL_STATUSES)

    assert (verdict.outcome, verdict.reason) == (outcome, f"http_{status}")


def test_which_statuses_refuse_for_certain_is_a_setting() -> None:
    assert judge(answered(502), refusal_statuses=frozenset({502})).outcome is REFUSED
    assert judge(answered(503), refusal_statuses=frozenset({502})).outcome is UNKNOWN
    assert judge(answered(429), refusal_statuses=frozenset()).outcome is PERMANENT


@pytest.mark.parametrize(("written", "outcome"), [(False, REFUSED), (True, UNKNOWN)])
def test_without_an_answer_it_matters_whether_the_request_was_written(written: bool, outcome: Outcome) -> None:
    answer = Answer(None, None, "reset", started=True, written=written, latency_ms=1)

    assert judge(answer, refusal_statuses=REFUSAL_STATUSES).outcome is outcome


@pytest.mark.parametrize(
    ("answer", "overloaded"),
    [
        (answered(200, b'{"code":0}'), False),
        (answered(200, b"<html></html>"), False),
        (answered(400), False),
        (answered(401), False),
        (answered(429), True),
        (answered(500), True),
        (answered(503), True),
        (answered(504), True),
        (Answer(None, None, "timeout", started=True, written=True, latency_ms=None), True),
        (Answer(None, None, "refused", started=True, written=False, latency_ms=None), False),
    ],
)
@pytest.mark.parametrize("refusal_statuses", [REFUSAL_STATUSES, frozenset[int]()])
def test_what_a_provider_answers_that_has_too_many_calls(
    answer: Answer, overloaded: bool, refusal_statuses: frozenset[int]
) -> None:
    assert judge(answer, refusal_statuses=refusal_statuses).overloaded is overloaded
