"""Application: the routes put together, with what surrounds each request. It is wired by `__main__`."""

from fastapi import APIRouter, FastAPI

from services.api import (
    clients,
    dead_letters,
    health,
    lifecycle,
    mailing_messages,
    mailings,
    messages,
    replay,
    statistics,
)
from services.api.access import Access
from services.api.documentation import add_documentation
from services.api.openapi import OPENAPI_PATH, PROBLEMS, DocumentedApi
from services.api.parts import Parts
from services.api.refusals import answer_refusals

DESCRIPTION = """Mass mailings: one message to every matching client, inside a mailing's time, with counts that add up.

Instants are RFC 3339 with an offset, and come back in UTC. Errors are problem documents (RFC 9457) with a stable
`code`. Lists are pages: follow `next_cursor`. `PATCH` takes a merge patch (RFC 7396)."""

ROUTERS: tuple[APIRouter, ...] = (
    clients.router,
    mailings.router,
    lifecycle.router,
    replay.router,
    mailing_messages.router,
    messages.router,
    statistics.router,
    dead_letters.router,
    health.router,
)


def create_application(parts: Parts, *, max_body_bytes: int) -> FastAPI:
    """The ASGI application.

    Args:
        max_body_bytes: the largest request body.
    """
    application = DocumentedApi(
        title="Mailrun API",
        version="1.0.0",
        description=DESCRIPTION,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    application.state.parts = parts
    application.state.max_body_bytes = max_body_bytes
    application.add_middleware(Access)
    answer_refusals(application)
    for router in ROUTERS:
        application.include_router(router, responses=PROBLEMS if router is not health.router else {})
    add_documentation(application)
    return application
