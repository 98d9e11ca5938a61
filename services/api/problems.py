"""Problems: every error that the API answers with is a problem document (RFC 9457)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import HTTPException
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import Scope

PROBLEM_MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100  # a body of a megabyte can be wrong in a hundred thousand places
MAX_INSTANCE_CHARACTERS = 1_000


class FieldError(BaseModel):
    """One thing that is wrong with a body or a query."""

    pointer: str = Field(
        description="RFC 6901 pointer into the body; of a query parameter its name", examples=["/audience/tags/0"]
    )
    message: str = Field(description="what is wrong, for a person", examples=["must not be blank"])


class Problem(BaseModel):
    """An error, as RFC 9457 writes it."""

    type: str = Field(description="always about:blank: the code tells more", examples=["about:blank"])
    title: str = Field(description="the status in words", examples=["Unprocessable Content"])
    status: int = Field(description="the HTTP status", examples=[422])
    detail: str = Field(description="what is wrong, for a person", examples=["the body breaks 1 rule"])
    instance: str = Field(description="the path that was asked for", examples=["/api/v1/mailings"])
    code: str = Field(description="stable and machine-readable", examples=["validation_failed"])
    request_id: str = Field(description="the same as in X-Request-ID and in the logs")
    errors: list[FieldError] | None = Field(None, description="of a validation: each thing that is wrong")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong, before it is written into a problem."""

    pointer: str
    message: str


class Refusal(HTTPException):
    """A request that is refused, with all that its problem says.

    Attributes:
        code: stable and machine-readable.
        flaws: of a validation, what is wrong where.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        flaws: Sequence[Flaw] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(int(status), detail, dict(headers) if headers else None)
        self.code = code
        self.flaws = flaws


def invalid(pointer: str, message: str, *, code: str = "validation_failed") -> Refusal:
    """The refusal of a request of which one thing is wrong."""
    return Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY, code, f"{pointer or 'the body'}: {message}", flaws=[Flaw(pointer, message)]
    )


def problem_response(scope: Scope, refusal: Refusal) -> Response:
    """The response to the request of `scope`, whose request id has been set."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": _title(refusal.status_code),
        "status": refusal.status_code,
        "detail": refusal.detail,
        "instance": str(scope.get("path", ""))[:MAX_INSTANCE_CHARACTERS],
        "code": refusal.code,
        "request_id": scope.get("state", {}).get("request_id", ""),
    }
    if refusal.flaws:
        document["errors"] = [{"pointer": flaw.pointer, "message": flaw.message} for flaw in refusal.flaws[:MAX_ERRORS]]
    return Response(orjson.dumps(document), refusal.status_code, headers=refusal.headers, media_type=PROBLEM_MEDIA_TYPE)


def pointer_to(path: Sequence[object]) -> str:
    """The RFC 6901 pointer of a path into a document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
