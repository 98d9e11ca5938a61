"""The verdict: do audience, counts, statistics and the provider's ledger say the same? Pure: no I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.trial.provider import Call
from deploy.trial.sample import SampleClient, expected_text

MAX_COMPLAINTS_SHOWN = 10
ACCEPTED_NEVER = {"failed", "expired", "cancelled"}


@dataclass(frozen=True, slots=True)
class Observation:
    """What a finished mailing left behind.

    Attributes:
        mailing, statistics, messages: as the API answers them.
        calls: of the ledger, since before the mailing began.
    """

    mailing: dict[str, Any]
    statistics: dict[str, Any]
    messages: Sequence[dict[str, Any]]
    calls: Sequence[Call]


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        complaints: everything that does not agree, for a person.
        summary: audience, counts and ledger, a line each.
    """

    complaints: list[str] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return not self.complaints

    def lines(self) -> Iterator[str]:
        """To be printed last."""
        yield from self.complaints[:MAX_COMPLAINTS_SHOWN]
        if len(self.complaints) > MAX_COMPLAINTS_SHOWN:
            yield f"... and {len(self.complaints) - MAX_COMPLAINTS_SHOWN} more"
        yield from self.summary
        yield "agree" if self.agrees else "DISAGREE"


def judge(
    audience: Sequence[SampleClient],
    others: Sequence[SampleClient],
    tag: str,
    seen: Observation,
    *,
    all_sent: bool,
) -> Verdict:
    """Compare.

    Args:
        audience: clients whom the mailing is for.
        others: clients whom it is not for.
        tag: of the audience; every text of the mailing holds it.
        all_sent: whether each message must have been accepted exactly once; else what became of it must only be true.
    """
    verdict = Verdict()
    say = verdict.complaints.append
    statuses = Counter(message["status"] for message in seen.messages)

    if seen.mailing["status"] != "completed":
        say(f"the mailing is {seen.mailing['status']}, not completed")
    if seen.mailing["audience_size"] != len(audience):
        say(f"audience_size is {seen.mailing['audience_size']}, and {len(audience)} clients match")
    if {message["client_id"] for message in seen.messages} != {client.client_id for client in audience}:
        say("the messages' clients are not those who match")
    for where, counts in (("the mailing", seen.mailing["counts"]), ("the statistics", seen.statistics["counts"])):
        if _without_zeros(counts) != statuses:
            say(f"{where} counts {_told(counts)}, the messages are {_told(statuses)}")
    by_code = {code: sum(counts.values()) for code, counts in seen.statistics["by_operator_code"].items()}
    if by_code != Counter(client.operator_code for client in audience):
        say(f"by operator code the statistics count {by_code}")

    verdict.complaints += _compare_ledger(audience, others, tag, seen, all_sent=all_sent)
    verdict.summary = [
        f"audience    {len(seen.messages)}",
        f"counts      {_told(seen.mailing['counts'])}",
        f"statistics  {_told(seen.statistics['counts'])}",
        f"ledger      {_told_ledger(seen, tag)}",
    ]
    return verdict


def _compare_ledger(
    audience: Sequence[SampleClient], others: Sequence[SampleClient], tag: str, seen: Observation, *, all_sent: bool
) -> Iterator[str]:
    """What in the ledger is not as it should be."""
    calls_by_message: dict[int | None, list[Call]] = defaultdict(list)
    message_ids = {message["id"] for message in seen.messages}
    other_phones = {int(client.phone) for client in others}
    for call in seen.calls:
        if call.message_id in message_ids:
            calls_by_message[call.message_id].append(call)
        elif tag in (call.text or ""):
            yield f"the ledger holds a call of this mailing with a message id that is not: {call.message_id}"
        if call.phone in other_phones:
            yield f"somebody who does not match was called: message {call.message_id}"

    clients = {client.client_id: client for client in audience}
    for message in seen.messages:
        calls = calls_by_message[message["id"]]
        name = f"message {message['id']} ({message['status']})"
        client = clients.get(message["client_id"])
        for call in calls:
            if client and call.accepted and call.phone != int(client.phone):
                yield f"{name} went to another phone than its client's"
            if client and call.accepted and call.text != expected_text(client, tag):
                yield f"{name} has another text than the mailing's: {call.text!r}"
        yield from _compare_message(name, message, sum(call.accepted for call in calls), all_sent=all_sent)


def _compare_message(name: str, message: dict[str, Any], accepted: int, *, all_sent: bool) -> Iterator[str]:
    """Accepted calls against the status: sent at least once, failed never, twice only where marked ambiguous."""
    if all_sent and (message["status"] != "sent" or accepted != 1):
        yield f"{name} was accepted {accepted} times; sent and once was due"
    elif message["status"] == "sent" and accepted < 1:
        yield f"{name} was never accepted"
    elif message["status"] in ACCEPTED_NEVER and accepted > 0:
        yield f"{name} was accepted {accepted} times"
    elif accepted > 1 and not message["ambiguous"]:
        yield f"{name} was accepted {accepted} times and is not marked ambiguous"


def _told_ledger(seen: Observation, tag: str) -> str:
    calls = [call for call in seen.calls if tag in (call.text or "")]
    accepted = Counter(call.message_id for call in calls if call.accepted)
    duplicates = sum(count > 1 for count in accepted.values())
    return f"{len(calls)} calls, {accepted.total()} accepted, {duplicates} duplicates"


def _without_zeros(counts: dict[str, int]) -> Counter[str]:
    return Counter({status: count for status, count in counts.items() if count})


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{status} {count}" for status, count in sorted(counts.items()) if count) or "nothing"
