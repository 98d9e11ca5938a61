"""Agreement: store, statistics and the provider's ledger say the same of a mailing that is over."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from tests.e2e.system import Audience, System, instant
from tests.support.checker import broken_promises

ON_THE_WIRE = timedelta(
    seconds=2
)  # between the start of a call and its arrival, on a machine that has other things to do


async def assert_agreement(
    system: System, mailing: dict[str, Any], audience: Audience, *other_texts: str
) -> list[dict[str, Any]]:
    """Check all promises; the calls of the mailing.

    Args:
        other_texts: texts that the mailing had before it was edited.
    """
    messages = await system.messages(mailing["id"])
    calls = await system.calls([mailing["text"], *other_texts])
    now = await system.ask("GET", f"/mailings/{mailing['id']}")
    await assert_started_before(system, calls, instant(now["end_at"]))
    problems = broken_promises(
        client_ids=audience.client_ids,
        messages=messages,
        calls=calls,
        end_at=instant(now["end_at"]),
        grace=ON_THE_WIRE,
    )
    assert not problems, problems[:20]
    statistics = await system.statistics(mailing["id"])
    counted = Counter(message["status"] for message in messages)
    assert {status: count for status, count in statistics["counts"].items() if count} == dict(counted)
    assert statistics["audience_size"] == len(audience)
    assert statistics["ambiguous"] == sum(message["ambiguous"] for message in messages)
    assert now["counts"] == statistics["counts"]
    return calls


async def assert_started_before(system: System, calls: list[dict[str, Any]], end_at: datetime) -> None:
    """Of calls that arrived after the end, the history of their messages must say that they were started before."""
    for message_id in {call["message_id"] for call in calls if instant(call["arrived_at"]) >= end_at}:
        attempts = (await system.ask("GET", f"/messages/{message_id}"))["attempts"]
        assert all(instant(attempt["at"]) < end_at for attempt in attempts), (message_id, attempts, end_at)


def accepted_phones(calls: list[dict[str, Any]]) -> Counter[str]:
    return Counter(str(call["phone"]) for call in calls if call["accepted"])
