"""Incoming requests, strictly: bounded bodies, one media type, JSON without exceptions, no unknown parameters."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import orjson
from fastapi import Request, Response, params
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, model_validator
from starlette.requests import ClientDisconnect

from services.api.problems import Flaw, Refusal, invalid, pointer_to

BODY_TIMEOUT_S = 30.0
MAX_DISCARDED_BYTES = 16 * 1_024 * 1_024
CLOSE = {"Connection": "close"}
MAX_FIELDS = 100  # of an object; as many as attributes of a client
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class StrictBody(BaseModel):
    """A body, or an object inside one: unknown fields are refused, and nothing is converted from another type."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def check_size(cls, document: object) -> object:
        """Whether there are few enough fields for all that is wrong with them to be told: an error costs 25 us."""
        return check_few(document)


def check_few(document: object) -> object:
    """The object, or whatever else it is, unless it has more than `MAX_FIELDS` fields.

    Raises:
        ValueError: it has more.
    """
    if isinstance(document, dict) and len(document) > MAX_FIELDS:
        raise ValueError(f"has {len(document)} fields, there can be {MAX_FIELDS}")
    return document


class Incoming(Request):
    """A request whose body is read once, up to a bound, and whose JSON is parsed strictly."""

    async def body(self) -> bytes:
        """
        Raises:
            Refusal: 413, it is longer than the application allows; 408, it came too slowly; 400, it did not come.
        """
        if not hasattr(self, "_body"):
            limit_bytes: int = self.app.state.max_body_bytes
            try:
                async with asyncio.timeout(BODY_TIMEOUT_S):
                    self._body = await self._read(limit_bytes)
            except TimeoutError as error:
                message = f"the body did not come within {BODY_TIMEOUT_S:g} s"
                raise Refusal(408, "body_too_slow", message, headers=CLOSE) from error
            except ClientDisconnect as error:
                raise Refusal(400, "body_incomplete", "the body did not come") from error
        return self._body

    async def json(self) -> Any:
        """
        Raises:
            Refusal: 400, it is no JSON.
        """
        return parse_json(await self.body())

    async def _read(self, limit_bytes: int) -> bytes:
        """The body. One that is too long is read on, but not kept, up to a second bound.

        A connection that is closed with something unread is reset, and then many clients never see the answer.
        """
        chunks: list[bytes] = []
        size_bytes = 0
        async for chunk in self.stream():
            size_bytes += len(chunk)
            if size_bytes <= limit_bytes:
                chunks.append(chunk)
            elif size_bytes > limit_bytes + MAX_DISCARDED_BYTES:
                break
        if size_bytes > limit_bytes:
            raise Refusal(413, "body_too_large", f"a body has at most {limit_bytes} bytes", headers=CLOSE)
        return b"".join(chunks)


class StrictRoute(APIRoute):
    """A route that looks at a request before FastAPI does."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_parameters(self.endpoint)
        takes_body = self.body_field is not None
        needs_body = self.body_field is not None and self.body_field.field_info.is_required()

        async def strict(request: Request) -> Response:
            incoming = Incoming(request.scope, request.receive)
            check_query(incoming, known)
            if incoming.method in WITH_BODY:
                await _check_body(incoming, takes=takes_body, needs=needs_body)
            return await handle(incoming)

        return strict


def parse_json(body: bytes) -> Any:
    """The document of a body. orjson refuses what is not JSON: NaN, invalid UTF-8, lone surrogates, deep nesting.

    Raises:
        Refusal: 400 `malformed_json`.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "malformed_json", f"the body is not JSON: {error}") from error


def check_media_type(request: Request) -> None:
    """Whether the body says that it is JSON, or with PATCH a merge patch.

    Raises:
        Refusal: 415.
    """
    allowed = (JSON, MERGE_PATCH) if request.method == "PATCH" else (JSON,)
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    charset = header.get_param("charset")
    if header.get_content_type() not in allowed or not (charset is None or str(charset).lower() == "utf-8"):
        raise Refusal(415, "unsupported_media_type", f"the body must be {' or '.join(allowed)}, in UTF-8")


def check_query(request: Request, known: dict[str, bool]) -> None:
    """Whether every query parameter is known, and none is given twice that is no list.

    Args:
        known: names, and whether each may be repeated.

    Raises:
        Refusal: 422.
    """
    given = Counter(name for name, _ in request.query_params.multi_items())
    flaws = [Flaw(pointer_to([name]), "is not a known query parameter") for name in given if name not in known]
    flaws += [Flaw(f"/{name}", "is given more than once") for name, n in given.items() if n > 1 and not known.get(name)]
    if flaws:
        raise Refusal(422, "validation_failed", "the query is not one of this path", flaws=flaws)


async def _check_body(request: Incoming, *, takes: bool, needs: bool) -> None:
    body = await request.body()
    if not body and not needs:
        return
    check_media_type(request)
    document = await request.json()
    if not isinstance(document, dict):
        raise invalid("", "must be an object")
    if document and not takes:
        raise invalid("", "this path takes no fields")


def _query_parameters(endpoint: Callable[..., Any]) -> dict[str, bool]:
    """Query parameters of an endpoint, from its models marked `Query()`: name to whether it may be repeated."""
    known: dict[str, bool] = {}
    for hint in get_type_hints(inspect.unwrap(endpoint), include_extras=True).values():
        if get_origin(hint) is Annotated and any(isinstance(one, params.Query) for one in get_args(hint)[1:]):
            model: type[BaseModel] = get_args(hint)[0]
            for name, field in model.model_fields.items():
                known[name] = get_origin(field.annotation) is list
    return known
