"""Run: one seed from an empty system to the checker's verdict."""

import asyncio
import secrets
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo

from tests.chaos.events import Events
from tests.chaos.evidence import Evidence, told_in_logs
from tests.chaos.operating import Kept, Operator, not_final
from tests.chaos.rig import Rig, running_rig
from tests.chaos.schedule import Plan, Schedule
from tests.chaos.servers import Servers
from tests.support.checker import Broken, Problem, check, doubled_and_marked
from tests.support.eventually import eventually

FINAL_WITHIN_S = 240.0  # a claim that outlives, twice, behind a consumer whose loss the broker notices late
QUIET_S = 100.0  # without any change there will be none: a claim outlives in 30 s, and the ladder's second step is 30 s
EXACT_WITHIN_S = 90.0
LOOK_EVERY_S = 0.5
READ_LETTERS_EVERY_S = 3.0  # reading takes the entries out for a moment, and the scheduler counts them, too
NO_MENDING_S = 86_400
MENDING_S = 6
FAR_AWAY = {True: "Asia/Kamchatka", False: "America/New_York"}


@dataclass
class Result:
    """What a run came to.

    Attributes:
        recovered_s: from the healing until every mailing was final, seconds.
        lost, unmarked, late: problems of these kinds; `marked`: messages accepted twice that say so.
        tracebacks: in the logs, by event.
    """

    seed: int
    mending: bool
    kinds: tuple[str, ...]
    messages: int = 0
    calls: int = 0
    marked: int = 0
    recovered_s: float = 0.0
    took_s: float = 0.0
    problems: list[Problem] = field(default_factory=list)
    tracebacks: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, schedule: Schedule) -> "Result":
        """Of a run that has not begun."""
        return cls(schedule.seed, schedule.mending, tuple(dict.fromkeys(event.kind for event in schedule.events)))

    def count(self, *broken: Broken) -> int:
        return sum(problem.broken in broken for problem in self.problems)

    @property
    def lost(self) -> int:
        return self.count(Broken.LOST, Broken.DENIED)

    @property
    def unmarked(self) -> int:
        return self.count(Broken.DOUBLED)

    @property
    def late(self) -> int:
        return self.count(Broken.LATE, Broken.STALE)

    @property
    def other(self) -> int:
        return len(self.problems) - self.lost - self.unmarked - self.late

    def document(self) -> dict[str, Any]:
        """For a line of the results."""
        names = ("seed", "mending", "messages", "calls", "lost", "marked", "unmarked", "late", "other")
        return {
            **{name: getattr(self, name) for name in names},
            "recovered_s": round(self.recovered_s, 1),
            "took_s": round(self.took_s, 1),
            "kinds": list(self.kinds),
            "problems": [str(problem) for problem in self.problems],
            "tracebacks": dict(self.tracebacks),
        }


def stuck(result: Result, error: BaseException) -> Result:
    """The result of a run that has not come to its end."""
    traceback.print_exception(error)
    result.problems.append(Problem(Broken.STUCK, f"{type(error).__name__}: {error}"))
    return result


SMALL_PARTS = {"services.scheduler.fan_out:PART_CLIENTS": 15}  # of a chunk of 40, so that there are several


async def run_schedule(schedule: Schedule, servers: Servers, folder: Path, *, mistake: str | None = None) -> Result:
    """Run a schedule on servers of its own, or on its part of shared ones; the logs stay in the folder."""
    began_s = time.monotonic()
    result = Result.of(schedule)
    (folder / "schedule.txt").write_text("\n".join(schedule.lines()) + "\n")
    plan: dict[str, Any] = {"mistake": mistake} if mistake else {}
    plans = {"scheduler": plan | {"constants": SMALL_PARTS}, "sender": plan, "api": plan}
    settings = {"SCHEDULER_MEND_AFTER_S": str(MENDING_S if schedule.mending else NO_MENDING_S)}
    async with running_rig(folder, servers, settings=settings, plans=plans) as rig:
        if any(event.target == "broker" for event in schedule.events):
            await servers.until_written_down()
        operator = Operator(rig)
        evidence = Evidence(rig)
        try:
            await _happen(schedule, rig, operator)
            await rig.heal()
            healed_s = time.monotonic()
            await rig.until_api_ready()
            await judge(result, operator, evidence, since_s=healed_s)
        finally:
            evidence.close()
            (folder / "acts.txt").write_text("\n".join(operator.told) + "\n")
        result.problems += await stop_all(rig)
    result.tracebacks = told_in_logs(folder)
    result.took_s = time.monotonic() - began_s
    return result


async def judge(result: Result, operator: Operator, evidence: Evidence, *, since_s: float) -> None:
    """The end of every run: wait until all mailings are final and the dead letters exact; then the checker's verdict.

    Args:
        since_s: the moment from which recovering counts, on the monotonic clock.
    """
    await operator.resume_all()
    result.problems += await until_final(operator, evidence)
    result.recovered_s = time.monotonic() - since_s
    await until_letters_exact(evidence)
    facts = await evidence.facts(operator)
    result.problems += check(facts)
    if not any(call.accepted for call in facts.calls):
        result.problems.append(Problem(Broken.STUCK, "the provider has accepted nothing, so nothing was tried"))
    result.messages, result.calls = len(facts.messages), len(facts.calls)
    result.marked = doubled_and_marked(facts)


async def _happen(schedule: Schedule, rig: Rig, operator: Operator) -> None:
    """The mailings, and all that happens meanwhile."""
    await rig.set_faults(latency_s=schedule.latency_s)
    mailings = {
        name: await create_mailing(rig, operator, plan) for name, plan in zip("ABC", schedule.mailings, strict=True)
    }
    events = Events(rig, operator, mailings, schedule.latency_s)
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as happening:
        for event in schedule.events:

            async def happen(event: Any = event) -> None:
                await asyncio.sleep(max(0.0, began_s + event.at_s - time.monotonic()))
                await events.happen(event)

            happening.create_task(happen())


async def create_mailing(rig: Rig, operator: Operator, plan: Plan) -> Kept:
    """The clients of a mailing, and the mailing. Some may live where it is night."""
    audience = rig.make_large_audience(plan.clients)
    now = datetime.now(UTC)
    away = FAR_AWAY[now.hour < 12]
    fields: dict[str, Any] = {"on_unknown": plan.on_unknown, "rate_per_s": plan.rate_per_s}
    if plan.away:
        fields["local_window"] = {
            "start": f"{now - timedelta(hours=3):%H:%M}",
            "end": f"{now + timedelta(hours=3):%H:%M}",
        }
        ids = list(audience.client_ids[: plan.away])
        with pymongo.MongoClient(rig.mongo_url) as gateway:
            gateway[rig.database]["clients"].update_many({"_id": {"$in": ids}}, {"$set": {"timezone": away}})
    text = f"text {secrets.token_hex(4)}"
    kept = await operator.create(audience, text, starts_in_s=plan.begins_s, lasts_s=plan.lasts_s, **fields)
    away_ids = set(audience.client_ids[: plan.away])
    kept.timezones = {client_id: away if client_id in away_ids else "UTC" for client_id in audience.client_ids}
    return kept


async def until_final(operator: Operator, evidence: Evidence) -> list[Problem]:
    """Wait until every mailing is final; what is not by then, or has long stopped changing, is lost."""
    last: dict[int, str] = {}
    changed_at_s, before = time.monotonic(), ""

    async def all_final_or_quiet() -> bool:
        nonlocal last, changed_at_s, before
        documents = await asyncio.to_thread(evidence.mailings)
        last = not_final(operator.mailings, documents, await asyncio.to_thread(evidence.open_messages))
        now = f"{last} {await asyncio.to_thread(evidence.changed_last)}"
        if now != before:
            changed_at_s, before = time.monotonic(), now
        return not last or time.monotonic() - changed_at_s > QUIET_S

    with suppress(AssertionError):
        await eventually(all_final_or_quiet, "every mailing is final", within_s=FINAL_WITHIN_S, every_s=LOOK_EVERY_S)
    return [Problem(Broken.LOST, f"mailing {mailing_id} is not final: {why}") for mailing_id, why in last.items()]


async def until_letters_exact(evidence: Evidence) -> None:
    """Give the schedulers time to put the dead letters right; the checker then says what is wrong."""
    with suppress(AssertionError):
        await eventually(
            evidence.letters_are_exact,
            "the dead letters are exact",
            within_s=EXACT_WITHIN_S,
            every_s=READ_LETTERS_EVERY_S,
        )


async def stop_all(rig: Rig) -> list[Problem]:
    """SIGTERM for everybody: whoever was at work ends well."""
    await asyncio.gather(*(rig.end_service(name) for name in rig.processes if name != "provider"))
    ended = [*rig.ended, *((name, process.stop(), False) for name, process in rig.processes.items())]
    return [
        Problem(Broken.ENDED, f"{name} ended with {status}")
        for name, status, at_work in ended
        if status not in ((0,) if at_work else (0, -15, -9))
    ]
