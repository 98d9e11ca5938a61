"""Claim tags: each call says when its message was claimed, in a header that the provider's ledger keeps.

So a call after a pause is told from one on a claim that was made before it, whatever time lies between.
"""

import os
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from tests.chaos.planting import replace
from tests.support.facts import CLAIM_HEADER, claim_header

_claimed_at: ContextVar[datetime] = ContextVar("claimed_at")


def tag_calls() -> None:
    """Plant it into a sender."""
    replace("services.sender.deliver:Deliverer._call", _remember_claim)
    replace("services.sender.provider.http_provider:_Tries.request", _add_header)


def _remember_claim(original: Any) -> Any:
    async def call(self: Any, ready: Any) -> Any:
        _claimed_at.set(ready.claimed.claim.at)
        return await original(self, ready)

    return call


def _add_header(original: Any) -> Any:
    async def request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        header = claim_header(_claimed_at.get(), datetime.now(UTC), os.getpid())
        headers = {**(kwargs.pop("headers", None) or {}), CLAIM_HEADER: header}
        return await original(self, method, url, headers=headers, **kwargs)

    return request
