"""Refusals: which problem each error becomes."""

import json

import pytest
from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError

from services.api.mailing_views import MailingBody
from services.api.problems import MAX_ERRORS, Flaw, Refusal, pointer_to, problem_response
from services.api.refusals import refusal_of
from services.api.validated import validated
from shared.errors import Conflict, InvalidInput, NotFound, StoreUnavailable


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("local_window/start", "wrong"), 422, "validation_failed"),
        (NotFound("mailing", 7), 404, "mailing_not_found"),
        (Conflict("phone_taken", "taken"), 409, "phone_taken"),
        (StoreUnavailable("no primary"), 503, "store_unavailable"),
        (HTTPException(404), 404, "not_found"),
        (HTTPException(418), 418, "refused"),
        (Refusal(412, "precondition_failed", "no"), 412, "precondition_failed"),
        (RuntimeError("secret"), 500, "internal_error"),
        (RequestValidationError([{"type": "missing", "loc": ("body", "text"), "msg": "x"}]), 422, "validation_failed"),
        (RequestValidationError([{"type": "value_error", "loc": ("path", "id"), "msg": "x"}]), 404, "not_found"),
    ],
)
def test_each_error_has_its_status_and_its_code(error: Exception, status: int, code: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.status_code, refusal.code) == (status, code)
    assert "secret" not in refusal.detail
    assert "primary" not in refusal.detail


def test_the_store_away_says_when_to_come_again() -> None:
    assert refusal_of(StoreUnavailable("away")).headers == {"Retry-After": "1"}


def test_a_problem_has_all_its_members() -> None:
    refusal = refusal_of(InvalidInput("audience/tags/0", "must not be blank"))
    scope = {"type": "http", "path": "/api/v1/mailings", "state": {"request_id": "r-1"}}
    response = problem_response(scope, refusal)
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "/audience/tags/0: must not be blank",
        "instance": "/api/v1/mailings",
        "code": "validation_failed",
        "request_id": "r-1",
        "errors": [{"pointer": "/audience/tags/0", "message": "must not be blank"}],
    }


def test_of_very_many_errors_a_bounded_number_is_told() -> None:
    flaws = [Flaw(f"/{place}", "wrong") for place in range(10_000)]
    response = problem_response({"path": "/" + "a" * 60_000}, Refusal(422, "validation_failed", "x", flaws=flaws))
    document = json.loads(bytes(response.body))
    assert len(document["errors"]) == MAX_ERRORS
    assert len(document["instance"]) == 1_000


@pytest.mark.parametrize(
    ("path", "pointer"),
    [([], ""), (["a"], "/a"), (["audience", "tags", 0], "/audience/tags/0"), (["a/b", "~", ""], "/a~1b/~0/")],
)
def test_a_pointer_is_one_of_rfc_6901(path: list[object], pointer: str) -> None:
    assert pointer_to(path) == pointer


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"text": 1}, "/text"),
        ({"text": "x", "audience": {"tags": "vip"}}, "/audience/tags"),
        ({"text": "x", "audience": {"tags": ["vip", 1]}}, "/audience/tags/1"),
        ({"text": "x", "audience": {"everyone": "yes"}}, "/audience/everyone"),
        ({"text": "x", "audience": {"everyone": 1}}, "/audience/everyone"),
        ({"text": "x", "rate_per_s": "5"}, "/rate_per_s"),
        ({"text": "x", "rate_per_s": True}, "/rate_per_s"),
        ({"text": "x", "rate_per_s": 0}, "/rate_per_s"),
        ({"text": "x", "draft": 1}, "/draft"),
        ({"text": "x", "on_unknown": "maybe"}, "/on_unknown"),
        ({"text": "x", "start_at": "2030-01-01T00:00:00"}, "/start_at"),
        ({"text": "x", "local_window": {"start": "09:00"}}, "/local_window/end"),
        ({"text": "x", "a/b": 1}, "/a~1b"),
        ({}, "/text"),
    ],
)
def test_nothing_is_converted_and_the_pointer_leads_to_what_is_wrong(document: dict[str, object], pointer: str) -> None:
    with pytest.raises(Refusal) as refused:
        validated(MailingBody, document)
    assert refused.value.status_code == 422
    assert pointer in {flaw.pointer for flaw in refused.value.flaws}
