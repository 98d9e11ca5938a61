"""The OpenAPI document: complete, self-contained, and with examples that the API itself would accept."""

from typing import Any, cast

import pytest
from fastapi.routing import APIRoute

from services.api.application import ROUTERS, create_application
from services.api.client_views import ClientBody, ClientPatch
from services.api.incoming import StrictRoute
from services.api.mailing_views import MailingBody, MailingPatch
from services.api.parts import Parts
from services.api.replay import ReplayBody


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    application = create_application(cast(Parts, None), max_body_bytes=1_000)  # the document needs no parts
    return application.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_path_of_the_contract_is_there_and_no_other(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} == {
        "POST /api/v1/clients",
        "GET /api/v1/clients",
        "GET /api/v1/clients/{client_id}",
        "PATCH /api/v1/clients/{client_id}",
        "DELETE /api/v1/clients/{client_id}",
        "GET /api/v1/clients/{client_id}/messages",
        "POST /api/v1/mailings",
        "GET /api/v1/mailings",
        "GET /api/v1/mailings/{mailing_id}",
        "PATCH /api/v1/mailings/{mailing_id}",
        "DELETE /api/v1/mailings/{mailing_id}",
        "POST /api/v1/mailings/{mailing_id}/launch",
        "POST /api/v1/mailings/{mailing_id}/pause",
        "POST /api/v1/mailings/{mailing_id}/resume",
        "POST /api/v1/mailings/{mailing_id}/cancel",
        "POST /api/v1/mailings/{mailing_id}/replay",
        "GET /api/v1/mailings/{mailing_id}/messages",
        "GET /api/v1/mailings/{mailing_id}/revisions",
        "GET /api/v1/messages/{message_id}",
        "GET /api/v1/statistics",
        "GET /api/v1/statistics/{mailing_id}",
        "GET /api/v1/dead-letters",
        "GET /health/live",
        "GET /health/ready",
    }


def test_every_operation_tells_what_it_does_and_how_it_is_refused(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["tags"], name
        if "/api/v1" in name:
            assert {"4XX", "503"} <= set(operation["responses"]), name
            for status in ("4XX", "503"):
                assert list(operation["responses"][status]["content"]) == ["application/problem+json"], name
            assert "422" not in operation["responses"], f"{name}: the library's own error document is never sent"


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(part: object) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    found = references(document)
    assert found
    for reference in found:
        where: Any = document
        for step in reference.removeprefix("#/").split("/"):
            where = where[step]


def test_the_examples_are_accepted(document: dict[str, Any]) -> None:
    for model in (ClientBody, ClientPatch, MailingBody, MailingPatch, ReplayBody):
        schema = model.model_json_schema()
        for example in schema.get("examples", []):
            model.model_validate(example)
        by_field = {
            name: example for name, field in model.model_fields.items() for example in (field.examples or [])[:1]
        }
        if by_field and model is not MailingBody:
            model.model_validate(by_field)


def test_every_route_is_strict() -> None:
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            assert isinstance(route, StrictRoute), route.path
