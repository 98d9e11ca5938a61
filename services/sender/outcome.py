"""Outcome: what an answer of the provider means. One table, no I/O.

| answer | outcome |
| --- | --- |
| 2xx with `{"code": 0}` | accepted |
| 2xx with another integer `code` | permanent |
| 2xx with anything else | unknown |
| a status that the provider answers only when it has not accepted (a setting: 429, 500, 503) | refused |
| 401, 403, 3xx | unauthorised: a fault of ours |
| any other 4xx | permanent |
| any other 5xx | unknown |
| no answer, and the request was not written | refused |
| no answer, and the request was written | unknown |
"""

from dataclasses import dataclass

import orjson

from services.sender.provider.provider import Answer
from shared.domain.message import Outcome

UNAUTHORISED_STATUSES = frozenset({401, 403})
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means.

    Attributes:
        outcome: what became of the attempt.
        reason: stable words, by which failures are grouped; None for accepted.
        provider_failed: whether it tells of the provider itself, not of this message: no connection, no answer, 5xx, or
            an answer that is not its protocol's.
        called: whether anything may have reached the provider: without a connection the attempt never happened.
        overloaded: whether it ended as calls do at a provider that has too many: no answer, 429, 5xx.
    """

    outcome: Outcome
    reason: str | None
    provider_failed: bool = False
    called: bool = True
    overloaded: bool = False


ACCEPTED = Verdict(Outcome.ACCEPTED, None)


def judge(answer: Answer, *, refusal_statuses: frozenset[int]) -> Verdict:
    """What an answer means, by the table above."""
    status = answer.http_status
    if status is None:
        if answer.written:
            return Verdict(Outcome.UNKNOWN, "no_answer", provider_failed=True, overloaded=True)
        return Verdict(Outcome.REFUSED, "no_connection", provider_failed=True, called=False)
    if 200 <= status < 300:
        return _judge_body(answer.body)
    reason = f"http_{status}"
    if status in refusal_statuses:
        overloaded = status == TOO_MANY_REQUESTS or status >= 500
        return Verdict(Outcome.REFUSED, reason, provider_failed=status >= 500, overloaded=overloaded)
    if status in UNAUTHORISED_STATUSES or 300 <= status < 400:
        return Verdict(Outcome.UNAUTHORISED, reason)
    if 400 <= status < 500:
        return Verdict(Outcome.PERMANENT, reason, overloaded=status == TOO_MANY_REQUESTS)
    return Verdict(Outcome.UNKNOWN, reason, provider_failed=True, overloaded=True)


def _judge_body(body: bytes | None) -> Verdict:
    """The body decides, whatever its content type says."""
    code = _code(body)
    if code is None:
        return Verdict(Outcome.UNKNOWN, "malformed_answer", provider_failed=True)
    if code == 0:
        return ACCEPTED
    return Verdict(Outcome.PERMANENT, f"refused_code_{code}")


def _code(body: bytes | None) -> int | None:
    """The integer `code` of a JSON object; None if there is none. `true` is no integer, and "0" is none either."""
    if body is None:
        return None
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    code = parsed.get("code") if isinstance(parsed, dict) else None
    return code if isinstance(code, int) and not isinstance(code, bool) else None
