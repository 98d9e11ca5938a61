"""Crash runs: one crash point, in a system of its own, under one policy, to the checker's verdict."""

import asyncio
import time
from pathlib import Path
from typing import Any

from shared.broker.topology import DEAD_QUEUE, SEND_QUEUE
from shared.domain.message import OPEN, SENDING
from tests.chaos.evidence import Evidence, told_in_logs
from tests.chaos.operating import Kept, Operator
from tests.chaos.points import Point
from tests.chaos.rig import Rig, running_rig
from tests.chaos.run import MENDING_S, NO_MENDING_S, SMALL_PARTS, Result, judge, stop_all
from tests.chaos.servers import Servers
from tests.support.checker import Broken, Problem
from tests.support.eventually import eventually

CLIENTS = 24
LATENCY_S = 0.3
MANY_CLIENTS = 60
SLOW_S = 1.2  # so that commands wait for a sender that is busy
LOW_RATE_PER_S = 3
SLOW_LINK_S = 0.4
SLOW_ANSWER_S = 1.5  # so that a process that wakes up meets a second attempt under way
REACHED_WITHIN_S = 60.0
TAKEN_OVER_WITHIN_S = 150.0
WATCHED_S = 1.0
LEASE_S = 12.0  # in place of a minute, during which nothing happens; still far more than a chunk takes here
BEHIND_SLOW_CALLS = frozenset({"paused behind slow calls", "purged"})
AT_A_LOW_RATE = frozenset({"paused", "deleted", "client deleted", "client opted out"})
REFUSED = {"kind": "status", "code": 500, "times": 8}
OFTEN_REFUSED = {"kind": "status", "code": 500, "probability": 0.6}  # at any moment some wait for their next attempt
REJECTED = {"kind": "status", "code": 400, "times": 8}
NOT_LET_IN = {"kind": "status", "code": 401, "times": 2}
PROVIDER_FAULTS = {
    "refused": REFUSED,
    "ended": OFTEN_REFUSED,
    "rejected": REJECTED,
    "unauthorised": NOT_LET_IN,
    "replayed": REJECTED,
    "replayed at completion": REJECTED,
    "letters purged": REJECTED,
    "letters stale": REJECTED,
}


async def run_point(
    point: Point, servers: Servers, folder: Path, *, on_unknown: str, mistake: str | None = None
) -> Result:
    """Run one point; the victim is alone in its service until the point is reached."""
    began_s = time.monotonic()
    result = Result(0, point.mending, (point.full_name,))
    mark = folder / "reached"
    victim = "api" if point.service == "api" else f"{point.service}-1"
    relief = "api" if point.service == "api" else f"{point.service}-2"
    leases = {f"services.scheduler.{module}:LEASE_S": LEASE_S for module in ("serve", "dead_letters", "walk")}
    plans: dict[str, dict[str, Any]] = {
        "scheduler": {"constants": SMALL_PARTS | leases, "mistake": mistake},
        "sender": {"mistake": mistake},
        "api": {},
    }
    plans[victim] = plans[point.service] | {"point": point.plan(str(mark))}
    settings = {"SCHEDULER_MEND_AFTER_S": str(MENDING_S if point.mending else NO_MENDING_S)}
    async with running_rig(
        folder,
        servers,
        settings=settings,
        plans=plans,
        services=("api", "scheduler-1", "sender-1"),
        idle=("scheduler-2", "sender-2"),
    ) as rig:
        operator, evidence = Operator(rig), Evidence(rig)
        try:
            kept = await _begin(point, rig, operator, on_unknown)
            driving = asyncio.create_task(_drive(point, rig, operator, evidence, kept))
            await eventually(
                lambda: _exists(mark), f"{point.full_name} is reached", within_s=REACHED_WITHIN_S, every_s=0.02
            )
            reached_s = time.monotonic()
            result.problems += await _take_over(point, rig, evidence, victim, relief)
            await driving
            await judge(result, operator, evidence, since_s=reached_s)
        finally:
            evidence.close()
            (folder / "acts.txt").write_text("\n".join(operator.told) + "\n")
        result.problems += await stop_all(rig)
    result.tracebacks = told_in_logs(folder)
    result.took_s = time.monotonic() - began_s
    return result


async def _begin(point: Point, rig: Rig, operator: Operator, on_unknown: str) -> Kept:
    scenario = point.scenario
    faults = [PROVIDER_FAULTS[scenario]] if scenario in PROVIDER_FAULTS else []
    await rig.set_faults(*faults, latency_s=SLOW_S if scenario in BEHIND_SLOW_CALLS else LATENCY_S)
    if scenario == "slow broker":
        rig.links[f"{point.service}-1", "broker"].slow(SLOW_LINK_S)
    audience = rig.make_large_audience(MANY_CLIENTS if scenario in BEHIND_SLOW_CALLS else CLIENTS)
    rate_per_s = LOW_RATE_PER_S if scenario in AT_A_LOW_RATE else None
    text = f"text of {audience.tag}"
    return await operator.create(
        audience, text, starts_in_s=0.5, lasts_s=600, on_unknown=on_unknown, rate_per_s=rate_per_s
    )


async def _drive(point: Point, rig: Rig, operator: Operator, evidence: Evidence, kept: Kept) -> None:
    """What has to go on for the point to be reached."""
    match point.scenario:
        case "paused":
            await _until_sent(evidence, 4)
            for _ in range(3):  # so that a sender claims something just after a pause
                await operator.pause(kept)
                await asyncio.sleep(1)
                await operator.resume(kept)
                await asyncio.sleep(1)
        case "paused behind slow calls":
            await _until_sent(evidence, 1)
            await operator.pause(kept)
            await asyncio.sleep(3)
            await operator.resume(kept)
        case "ended":
            await _until_sent(evidence, 4)
            await operator.edit_end(kept, in_s=3)
        case "deleted":
            await _until_sent(evidence, 4)
            await operator.delete(kept)
        case "client deleted":
            await _until_sent(evidence, 4)
            await operator.delete_client(kept.audience.client_ids[-1])
        case "client opted out":
            await _until_sent(evidence, 4)
            await operator.opt_out(kept.audience.client_ids[-1])
        case "replayed" | "replayed at completion":
            await _until_completed(evidence)
            await operator.replay(kept)
        case "purged":
            await eventually(lambda: _some_are_claimed(evidence), "messages are claimed", every_s=0.1)
            await rig.purge(SEND_QUEUE)
        case "letters purged":
            await _until_completed(evidence)
            await rig.purge(DEAD_QUEUE)
        case "letters stale":
            # Half of the failed are replayed; their entries are stale, the others' are deserved.
            await _until_completed(evidence)
            failed = sorted(evidence.deserved_letters())
            await operator.replay(kept, failed[: len(failed) // 2])


async def _take_over(point: Point, rig: Rig, evidence: Evidence, victim: str, relief: str) -> list[Problem]:
    """Another process takes over from the one that has died or stalled; that one wakes up when it has."""
    if point.act == "die":
        for link in (rig.links[victim, "broker"], rig.links[victim, "store"]):
            if not link.is_sound:
                link.reset()  # what it had written and nobody has heard yet is gone with it
                link.heal()
        await asyncio.to_thread(rig.processes[victim].wait)
        rig.plans = {name: plan for name, plan in rig.plans.items() if name != victim}
        rig.start(relief, point.service)
        return []
    rig.note_frozen(victim)
    held = evidence.claimed()
    rig.links[victim, "broker"].reset()  # the broker learns that it is gone; else after half a minute
    await rig.set_faults(latency_s=SLOW_ANSWER_S)
    rig.start(relief, point.service)
    await eventually(
        lambda: _taken_over(point, evidence, held),
        f"{relief} has taken over",
        within_s=TAKEN_OVER_WITHIN_S,
        every_s=0.05,
    )
    rig.thaw(victim)
    too_soon = await _watch_completion(evidence)
    await rig.end_service(victim)  # it finishes what it has in hand, and then nothing more is to come from it
    return too_soon


async def _watch_completion(evidence: Evidence) -> list[Problem]:
    """Whoever wakes up must not complete what is not complete."""
    until_s = time.monotonic() + WATCHED_S
    while time.monotonic() < until_s:
        if found := evidence.completed_too_soon():
            return [Problem(Broken.LOST, f"mailings {found} are completed while messages of theirs are open")]
        await asyncio.sleep(0.05)
    return []


async def _taken_over(point: Point, evidence: Evidence, held: set[int]) -> bool:
    """Whether somebody else is at what the stalled process had in its hands, or has done all of it."""
    messages = evidence.messages()
    if point.scenario == "replayed at completion":
        replayed = [one for one in evidence.mailings().values() if one.get("completed_at") and not one["replays"]]
        return any(one["status"] == "running" for one in replayed) and bool(evidence.claimed())
    if point.service == "sender" and any(
        one["_id"] in held and one["attempt"] > 1 and one["status"] == SENDING for one in messages
    ):
        return True
    open_ones = {status.value for status in OPEN}
    return bool(messages) and not any(one["status"] in open_ones for one in messages) and _all_ended(evidence)


def _all_ended(evidence: Evidence) -> bool:
    return all(one["status"] in ("completed", "cancelled") for one in evidence.mailings().values())


async def _until_sent(evidence: Evidence, count: int) -> None:
    async def some_are() -> bool:
        return sum(one["status"] == "sent" for one in evidence.messages()) >= count

    await eventually(some_are, f"{count} messages are sent", every_s=0.2)


async def _some_are_claimed(evidence: Evidence) -> bool:
    return bool(evidence.claimed())


async def _until_completed(evidence: Evidence) -> None:
    async def all_are() -> bool:
        return _all_ended(evidence)

    await eventually(all_are, "the mailing is completed", every_s=0.3, within_s=120)


async def _exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)
