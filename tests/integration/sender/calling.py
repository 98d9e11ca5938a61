"""Calling the fake provider as a sender does, and what the sender makes of the answer."""

from typing import Any

from services.sender.outcome import Verdict, judge
from services.sender.provider.http_provider import HttpProvider
from services.sender.provider.provider import Answer, Call
from shared.domain.message import Outcome
from tests.unit.fake_provider.running import RunningProvider

REFUSAL_STATUSES = frozenset({429, 500, 503})
ACCEPTED, REFUSED, UNKNOWN, PERMANENT, UNAUTHORISED = Outcome
PHONE = "79001234567"


def provider_at(address: str, *, token: str = "", concurrency: int = 8, timeout_s: float = 5.0) -> HttpProvider:
    return HttpProvider(
        f"{address}/v1",
        token=token,
        concurrency=concurrency,
        timeout_s=timeout_s,
        refusal_statuses=REFUSAL_STATUSES,
    )


def call(message_id: int = 1, *, text: str = "Hello", start_within_s: float = 15.0, end_within_s: float = 25.0) -> Call:
    return Call(message_id, PHONE, text, lambda: start_within_s, end_within_s)


async def deliver(fake: RunningProvider, one: Call | None = None, **how: Any) -> tuple[Answer, Verdict]:
    async with provider_at(fake.address, **how) as provider:
        answer = await provider.deliver(one or call())
    return answer, judge(answer, refusal_statuses=REFUSAL_STATUSES)


def status(code: int, **more: Any) -> dict[str, Any]:
    return {"kind": "status", "code": code, **more}
