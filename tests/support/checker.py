"""Checker: joins what the store says with what the provider's ledger says, and names every promise that is broken."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

MAY_BE_ACCEPTED = {"sent", "unknown"}


def broken_promises(
    *,
    client_ids: Iterable[int],
    messages: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    end_at: datetime | None = None,
    grace: timedelta = timedelta(0),
) -> list[str]:
    """What of the promises does not hold for one mailing that is over.

    Args:
        client_ids: whom the audience consists of.
        messages: as the API lists them.
        calls: the ledger's calls of this mailing.
        end_at: no call may start at or after it.
        grace: how much later than it a call may still arrive at the provider that was started before.
    """
    problems: list[str] = []
    by_client = Counter(message["client_id"] for message in messages)
    for client_id in client_ids:
        if by_client[client_id] != 1:
            problems.append(f"client {client_id} has {by_client[client_id]} messages")
    strangers = set(by_client) - set(client_ids)
    if strangers:
        problems.append(f"messages of clients outside the audience: {sorted(strangers)[:10]}")

    status = {message["id"]: message["status"] for message in messages}
    ambiguous = {message["id"]: message["ambiguous"] for message in messages}
    accepted = Counter(call["message_id"] for call in calls if call["accepted"])
    for message_id, times in accepted.items():
        if message_id not in status:
            problems.append(f"the provider accepted message {message_id}, which nobody knows")
        elif status[message_id] not in MAY_BE_ACCEPTED:
            problems.append(f"message {message_id} is {status[message_id]}, but the provider accepted it")
        if times > 1 and not ambiguous.get(message_id):
            problems.append(f"message {message_id} was accepted {times} times and is not marked ambiguous")
    for message_id, one in status.items():
        if one == "sent" and not accepted[message_id]:
            problems.append(f"message {message_id} is sent, but the provider accepted nothing")
        if one in ("waiting", "queued", "sending", "retrying"):
            problems.append(f"message {message_id} is {one}, although the mailing is over")
    if end_at is not None:
        late = [call for call in calls if datetime.fromisoformat(call["arrived_at"]) >= end_at + grace]
        problems += [f"message {call['message_id']} was called at {call['arrived_at']}, after the end" for call in late]
    return problems
