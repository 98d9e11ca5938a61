"""Idempotency keys: a request that is repeated with its key gets the first answer again.

The id of what will be created is reserved with the key. Should a request die halfway, whoever repeats it creates
under the same id, and so not twice.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated

import orjson
from fastapi import Header, Request, Response
from pydantic import BaseModel
from starlette.responses import Response as PlainResponse

from services.api.etags import json_answer
from services.api.parts import Parts
from services.api.problems import Refusal, invalid
from shared.errors import StoreUnavailable

KEY = re.compile(r"[\x20-\x7e]{1,255}")
TAKEN_OVER_AFTER = timedelta(seconds=60)  # no request lives so long

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", description="1 to 255 printable ASCII characters, kept for 24 hours")
]

Create = Callable[[int | None], Awaitable[tuple[BaseModel, dict[str, str]]]]


async def answered_once(request: Request, parts: Parts, key: str | None, create: Create) -> Response:
    """The answer to a request that creates a mailing: the first one, if its key has been seen.

    Args:
        create: creates it under the id that it is given, or finds it there, and returns view and headers.

    Raises:
        Refusal: 422, the key is malformed or belongs to another body; 409, its first request is still under way.
    """
    if key is None:
        view, headers = await create(None)
        return json_answer(view, status=201, headers=headers)
    if len(request.headers.getlist("idempotency-key")) > 1 or not KEY.fullmatch(key):
        raise invalid("/Idempotency-Key", "must be 1 to 255 printable ASCII characters", code="invalid_idempotency_key")
    digest = hashlib.sha256(orjson.dumps(await request.json(), option=orjson.OPT_SORT_KEYS)).hexdigest()
    keys = parts.store.idempotency_keys
    now = parts.clock.now()
    name = f"POST {request.url.path} {key}"
    taken = await keys.begin(
        name,
        request_digest=digest,
        resource_id=await parts.store.mailings.reserve_id(),
        now=now,
        stale_before=now - TAKEN_OVER_AFTER,
    )
    if taken.request_digest != digest:
        raise Refusal(422, "idempotency_key_reused", "this Idempotency-Key belongs to a request with another body")
    if taken.body is not None:
        headers = {"Location": taken.location} if taken.location else {}
        return PlainResponse(taken.body, taken.status or 201, headers, "application/json")
    if not taken.ours:
        raise Refusal(
            409, "request_in_progress", "the first request with this key is under way", headers={"Retry-After": "1"}
        )
    try:
        view, headers = await create(taken.resource_id)
    except StoreUnavailable:
        raise  # it may be there all the same: the key stays, and its repetition finds out
    except Exception:
        await keys.forget(name)
        raise
    await keys.keep(name, status=201, body=view.model_dump_json(), location=headers.get("Location"))
    return json_answer(view, status=201, headers=headers)
