"""Run: one mailing, in the middle of which a node is lost; and what came of it."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.chaos.cluster.faults import Fault
from tests.chaos.cluster.nodes import Cluster
from tests.chaos.cluster.pace import longest_silence_s, slow_until_s
from tests.chaos.cluster.target import choose_target, sender_connections
from tests.e2e.agreement import accepted_phones, assert_agreement
from tests.e2e.system import Audience, System, instant
from tests.support.eventually import eventually

MESSAGES = 3_000
LATENCY_S = 0.4
SETTINGS = {"PROVIDER_CONCURRENCY": "16"}
"""With three senders, at most 3 x 16 / 0.4 = 120 calls a second: a mailing takes 25 s, and a slow machine keeps up."""
STRUCK_AT = 0.25
HEALED_AT = 0.8
"""The node comes back only when this share is sent, so that sending has to go on without it."""
WITHOUT_IT_LIMIT_S = 180.0
COMPLETED_LIMIT_S = 240.0
SILENCE_LIMIT_S = 60.0
LOOK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a mailing with a fault in its middle.

    Attributes:
        told: the fault, for a person.
        connections: of senders on the node that was lost, and on all.
        lost: clients whose message was never accepted.
        doubled: messages that were accepted more than once; `unmarked` of them do not say so.
        silence_s: the longest time after the fault without an accepted call.
        slow_s: from the fault until the pace was, for good, at least half of what it had been.
        took_s: from the mailing's first accepted call to its last.
        problems: what does not hold; empty when all does.
    """

    told: str
    connections: tuple[int, int]
    messages: int
    lost: int
    doubled: int
    unmarked: int
    silence_s: float
    slow_s: int
    took_s: float
    problems: tuple[str, ...]


async def run_with_fault(system: System, cluster: Cluster, fault: Fault, messages: int) -> Result:
    """Run a mailing, lose the send queue's leader, bring it back when most is sent, and judge.

    Raises:
        AssertionError: the mailing did not go on without the node, or never completed.
        NotReady: the cluster was not whole before it, or no sender could be brought to the leader's node.
        CommandFailed: the engine did not do what it was asked for.
    """
    await cluster.until_whole(queues=True)
    node = await choose_target(cluster)
    await system.set_faults(latency_s=LATENCY_S)
    audience = await asyncio.to_thread(system.make_large_audience, messages)
    mailing = await system.make_mailing(audience)
    await _until_sent(system, mailing, STRUCK_AT * messages)

    connections = await asyncio.to_thread(sender_connections, cluster, node)
    struck_at = datetime.now(UTC)
    await asyncio.to_thread(fault.strike, cluster, node)
    try:
        await _until_sent(system, mailing, HEALED_AT * messages)
        await eventually(lambda: _passed(struck_at, fault.lasts_s), "the fault has lasted", within_s=fault.lasts_s + 5)
    finally:
        await asyncio.to_thread(fault.heal, cluster, node)
    await system.until(mailing, "completed", within_s=COMPLETED_LIMIT_S)
    return await _judge(system, mailing, audience, fault, connections, struck_at)


async def _until_sent(system: System, mailing: dict[str, Any], least: float) -> None:
    async def are_sent() -> bool:
        counts = (await system.ask("GET", f"/mailings/{mailing['id']}"))["counts"]
        return bool(counts["sent"] >= least)

    await eventually(are_sent, f"{least:g} messages sent", within_s=WITHOUT_IT_LIMIT_S, every_s=LOOK_EVERY_S)


async def _passed(since: datetime, seconds: float) -> bool:
    return (datetime.now(UTC) - since).total_seconds() >= seconds


async def _judge(
    system: System,
    mailing: dict[str, Any],
    audience: Audience,
    fault: Fault,
    connections: tuple[int, int],
    struck_at: datetime,
) -> Result:
    problems: list[str] = []
    try:
        await assert_agreement(system, mailing, audience)
    except AssertionError as error:
        problems.append(str(error))
    calls = await system.calls([mailing["text"]])
    accepted_at = sorted(instant(call["arrived_at"]) for call in calls if call["accepted"])
    phones = accepted_phones(calls)
    lost = len(set(audience.phones) - set(phones))
    doubled = {call["phone"] for call in calls if phones[str(call["phone"])] > 1}
    marked = {one["phone"] for one in await system.messages(mailing["id"]) if one["ambiguous"]}
    unmarked = len({str(phone) for phone in doubled} - {str(phone) for phone in marked})
    silence_s = longest_silence_s(accepted_at, struck_at)
    if lost:
        problems.append(f"{lost} clients were sent nothing")
    if silence_s >= SILENCE_LIMIT_S:
        problems.append(f"no call was accepted for {silence_s:.1f} s")
    return Result(
        told=fault.told,
        connections=connections,
        messages=len(audience),
        lost=lost,
        doubled=len(doubled),
        unmarked=unmarked,
        silence_s=silence_s,
        slow_s=slow_until_s(accepted_at, struck_at),
        took_s=(accepted_at[-1] - accepted_at[0]).total_seconds(),
        problems=tuple(problems),
    )
