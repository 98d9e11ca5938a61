"""Schedule: what happens in a run, and when, as a pure function of its seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.rig import SCHEDULERS, SENDERS

FAULTS_FROM_S, FAULTS_TO_S = 0.8, 12.0
FAN_OUT_TO_S = 6.0
ACTS_FROM_S, ACTS_TO_S = 1.5, 13.0
OWN_SERVERS_SHARE = 0.3
LONG_FREEZE_SHARE = 0.1  # longer than the 30 s after which a claim has lost its sender
LONG_FREEZE_S = (34.0, 44.0)

PROVIDER_FAULTS: Mapping[str, dict[str, Any]] = {
    "slow": {"kind": "slow", "delay_s": 0.5, "delay_max_s": 1.8, "probability": 0.5},
    "hang": {"kind": "hang", "accepts": 0.5, "probability": 0.3},
    "reset": {"kind": "reset", "accepts": 0.5, "probability": 0.4},
    "500": {"kind": "status", "code": 500, "probability": 0.5},
    "503": {"kind": "status", "code": 503, "probability": 0.5},
    "504": {"kind": "status", "code": 504, "accepts": 0.5, "probability": 0.4},
    "429": {"kind": "status", "code": 429, "retry_after_s": 1, "probability": 0.1},
    "401": {"kind": "status", "code": 401, "probability": 0.2},
    "400": {"kind": "status", "code": 400, "probability": 0.3},
    "refusal": {"kind": "refusal", "code": 7, "probability": 0.3},
    "garbage": {"kind": "garbage", "accepts": 0.5, "probability": 0.4},
    "redirect": {"kind": "redirect", "probability": 0.2},
    "refuse": {"kind": "refuse", "duration_s": 3.0},
}
PROCESS_FAULTS = ("kill", "freeze", "term")
LINK_FAULTS = ("reset", "refuse", "stall", "half-open", "slow")
SERVER_FAULTS = ("kill", "stop", "freeze")
COMBINED = ("kill behind a stalled store", "kill behind a stalled broker", "kill behind a slow broker")


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that happens `at_s` seconds after the mailings began, and lasts for `seconds`.

    Attributes:
        kind: what, for the table: the same for every sender.
        act: the name of what is done; `target`: to which process, server or mailing.
    """

    at_s: float
    kind: str
    act: str
    target: str
    seconds: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        more = f" {dict(self.parameters)}" if self.parameters else ""
        return f"{self.at_s:5.1f} s  {self.kind}: {self.target or '-'}, for {self.seconds:.1f} s{more}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A mailing of the run; `begins_s` after the first."""

    clients: int
    begins_s: float
    lasts_s: float
    on_unknown: str
    rate_per_s: int | None
    away: int = 0  # clients on the other side of the world, where the window is closed


@dataclass(frozen=True, slots=True)
class Schedule:
    """A whole run."""

    seed: int
    mending: bool
    own_servers: bool
    latency_s: float
    mailings: tuple[Plan, ...]
    events: tuple[Event, ...]

    def lines(self) -> list[str]:
        """For a person."""
        settings = f"mending {'on' if self.mending else 'off'}, {'own' if self.own_servers else 'shared'} servers"
        mailings = [f"mailing {name}: {plan}" for name, plan in zip("ABC", self.mailings, strict=True)]
        return [f"seed {self.seed}: {settings}, provider takes {self.latency_s} s", *mailings, *map(str, self.events)]


def draw(seed: int, *, mending: bool | None = None, own_servers: bool | None = None) -> Schedule:
    """The schedule of a seed. Every second seed runs without mending, which would hide what a sender loses.

    Without mending, nothing may be drawn that only mending heals: commands that a scheduler was about to publish for
    messages that had waited (after a pause) or failed (a replay), and commands that were thrown away.
    """
    chance = Random(f"chaos {seed}")
    mending = seed % 2 == 0 if mending is None else mending
    own = chance.random() < OWN_SERVERS_SHARE if own_servers is None else own_servers
    releases = chance.random() < 0.5 or mending
    schedulers_break = mending or not releases
    faults = [_fault(chance, schedulers_break=schedulers_break) for _ in range(chance.randint(3, 5))]
    faults += [_refusals_before(fault) for fault in faults if fault.kind == "kill sender behind a stalled broker"]
    faults.append(_provider_fault(chance))
    if chance.random() < 0.5:
        faults.append(_provider_fault(chance))
    if own and schedulers_break:
        faults += _server_faults(chance)
    if mending and chance.random() < 0.2:
        faults.append(Event(_when(chance), "purge the send queue", "purge", "messages.send"))
    if chance.random() < LONG_FREEZE_SHARE:
        seconds = round(chance.uniform(*LONG_FREEZE_S), 1)
        faults.append(Event(_when(chance), "freeze sender for long", "freeze", chance.choice(SENDERS), seconds))
    plans = (
        Plan(chance.randint(150, 220), 0.0, 600.0, "resend", 25),
        Plan(chance.randint(80, 140), 0.0, 600.0, chance.choice(("resend", "hold")), None),
        Plan(chance.randint(50, 90), round(chance.uniform(3, 6), 1), 25.0, chance.choice(("resend", "hold")), None, 5),
    )
    return Schedule(
        seed=seed,
        mending=mending,
        own_servers=own,
        latency_s=round(chance.uniform(0.1, 0.4), 2),
        mailings=plans,
        events=tuple(sorted([*faults, *_acts(chance, releases=releases)])),
    )


def each_provider_fault() -> list[Schedule]:
    """Each fault of the provider by itself, for most of the run, without mending, under both policies at once."""
    return [
        Schedule(
            seed=number,
            mending=False,
            own_servers=False,
            latency_s=0.1,
            mailings=(
                Plan(90, 0.0, 600.0, "resend", 10),
                Plan(90, 0.0, 600.0, "hold", 10),
                Plan(20, 4.0, 25.0, "hold", None),
            ),
            events=(Event(1.0, f"provider: {name}", "provider", name, 6.0, PROVIDER_FAULTS[name]),),
        )
        for number, name in enumerate(sorted(PROVIDER_FAULTS), start=1)
    ]


def _when(chance: Random) -> float:
    return round(chance.uniform(FAULTS_FROM_S, FAULTS_TO_S), 1)


def _fault(chance: Random, *, schedulers_break: bool) -> Event:
    """A fault of a process, or of a link of one. Senders are hit most often: they have most to lose."""
    services = ["sender"] * 4 + ["api"] + ["scheduler"] * (3 if schedulers_break else 0)
    service = chance.choice(services)
    target = {"api": "api", "scheduler": chance.choice(SCHEDULERS), "sender": chance.choice(SENDERS)}[service]
    seconds = round(chance.uniform(1.0, 6.0), 1)
    if service != "api" and chance.random() < 0.3:
        act = chance.choice(COMBINED)
        # A scheduler has most to lose while it fans out, which is over after some seconds.
        at_s = _when(chance) if service == "sender" else round(chance.uniform(FAULTS_FROM_S, FAN_OUT_TO_S), 1)
        return Event(at_s, act.replace("kill", f"kill {service}"), act, target, seconds)
    # What an API that is killed had written into a stalled link would still be carried out, after later requests.
    if service == "api" or chance.random() < 0.5:
        act = chance.choice(PROCESS_FAULTS)
        return Event(_when(chance), f"{act} {service}", act, target, seconds)
    act, server = chance.choice(LINK_FAULTS), chance.choice(("broker", "store"))
    return Event(_when(chance), f"{act} link of {service} to {server}", act, f"{target} {server}", seconds)


def _server_faults(chance: Random) -> list[Event]:
    """At most one of each server, one after the other."""
    drawn = []
    for begins_s, server in zip((2.0, 8.0), chance.sample(("broker", "store"), 2), strict=True):
        act = chance.choice(SERVER_FAULTS)
        at_s = round(begins_s + chance.uniform(0, 2), 1)
        drawn.append(Event(at_s, f"{act} {server}", act, server, round(chance.uniform(1, 3), 1)))
    return drawn[: chance.randint(1, 2)]


def _provider_fault(chance: Random) -> Event:
    name = chance.choice(sorted(PROVIDER_FAULTS))
    seconds = round(chance.uniform(2, 6), 1)
    return Event(_when(chance), f"provider: {name}", "provider", name, seconds, PROVIDER_FAULTS[name])


def _refusals_before(kill: Event) -> Event:
    """So that the sender that is killed has recorded retries which it could not publish."""
    return Event(
        max(FAULTS_FROM_S, round(kill.at_s - 0.5, 1)), "provider: 500", "provider", "500", 3.0, PROVIDER_FAULTS["500"]
    )


def _acts(chance: Random, *, releases: bool) -> list[Event]:
    """What operators do."""
    acts = ["edit text", "edit end", "cancel", "delete client", "delete client", "opt out", "opt out", "delete mailing"]
    if releases:
        acts += ["pause", "pause", "replay", "replay"]
    chosen = []
    for act in chance.sample(acts, chance.randint(2, 4)):
        at_s = round(chance.uniform(ACTS_FROM_S, ACTS_TO_S), 1)
        mailing = chance.choice({"edit end": "AB", "cancel": "BC", "delete mailing": "C"}.get(act, "AB"))
        lasts_s = round(chance.uniform(1.5, 4), 1) if act in ("pause", "edit end") else 0.0
        of_client = {"client": round(chance.random(), 3)} if act in ("delete client", "opt out") else {}
        chosen.append(Event(at_s, act, act, mailing, lasts_s, of_client))
    return chosen
