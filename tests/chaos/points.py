"""Crash points: every place at which a process may die or stall, as data.

The rows of the table in ARCHITECTURE.md, and both sides of every await that matters. `scenario` says what has to be
going on for the place to be reached; `crash_runs.py` runs them.
"""

from dataclasses import dataclass
from typing import Any

STATUSES = "shared.store.message_statuses:MessageStatuses"
WORK = "shared.store.mailing_work:MailingWork"
MAILINGS = "shared.store.mailings:Mailings"
PUBLISH_ALL = "shared.broker.publisher:Publisher.publish_all"
PROVIDER = "services.sender.provider.http_provider"
SERVE = "services.scheduler.serve"
STALL_ROW = "a scheduler stalls and wakes up"
LETTERS = "shared.store.dead_letter_state:DeadLetterState"


@dataclass(frozen=True, slots=True)
class Point:
    """A place, and what happens there.

    Attributes:
        name: for people: what was done last.
        row: the row of the table in ARCHITECTURE.md, where it is one of them.
        place, when, operation, inside, delay_s, successful: see `crashing.plant_point`.
        act: "die" or "stall".
        mending: whether only mending heals it.
    """

    name: str
    service: str
    place: str
    when: str
    act: str = "die"
    scenario: str = "plain"
    row: str = ""
    operation: str = ""
    inside: str = ""
    delay_s: float = 0.0
    successful: bool = False
    mending: bool = False

    @property
    def full_name(self) -> str:
        return f"{self.service} {'dies' if self.act == 'die' else 'stalls'}: {self.name}"

    def plan(self, mark: str) -> dict[str, Any]:
        """What the launcher plants."""
        names = ("place", "when", "act", "operation", "inside", "delay_s", "successful")
        return {name: getattr(self, name) for name in names} | {"mark": mark}


SENDER_STAGES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("before the claim's update", f"{STATUSES}.claim", "before", {}),
    ("claim's update, before its read", f"{STATUSES}.claim", "at", {"operation": "find", "row": "claim, or the call"}),
    ("claim", f"{STATUSES}.claim", "after", {"row": "claim, or the call"}),
    ("mailings and clients read", "services.sender.check:Checker._read", "after", {}),
    ("before the call", f"{PROVIDER}:HttpProvider.deliver", "before", {"row": "claim, or the call"}),
    ("connected, before the call is written", f"{PROVIDER}:_before_writing", "before", {}),
    ("looked at the clock, before the call is written", f"{PROVIDER}:_before_writing", "after", {}),
    (
        "call written, before its answer",
        f"{PROVIDER}:_before_writing",
        "after",
        {"delay_s": 0.1, "row": "claim, or the call"},
    ),
    ("call answered", f"{PROVIDER}:HttpProvider.deliver", "after", {"row": "claim, or the call"}),
    ("before the record of `sent`", f"{STATUSES}.record", "before", {}),
    ("record `sent`", f"{STATUSES}.record", "after", {"row": "record `sent`"}),
    ("before the ack", "shared.broker.acks:Acks._ack", "before", {}),
    ("ack", "shared.broker.acks:Acks._ack", "after", {}),
)
SENDER_FOLLOWS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "record `retrying`, before the retry is published",
        "services.sender.follow:Follower._publish",
        "before",
        {"scenario": "refused", "row": "record `retrying` or `failed`"},
    ),
    (
        "retry published",
        "services.sender.follow:Follower._publish",
        "after",
        {"scenario": "refused", "row": "what follows published"},
    ),
    (
        "record `failed`, before the dead letter is published",
        "services.sender.follow:Follower._publish",
        "before",
        {"scenario": "rejected", "row": "record `retrying` or `failed`"},
    ),
    (
        "dead letter published",
        "services.sender.follow:Follower._publish",
        "after",
        {"scenario": "rejected", "row": "what follows published"},
    ),
    ("before a claim is handed back", f"{STATUSES}.hand_back", "before", {"scenario": "unauthorised"}),
    ("claim handed back", f"{STATUSES}.hand_back", "after", {"scenario": "unauthorised"}),
    ("before a message is parked", f"{STATUSES}.park", "before", {"scenario": "paused behind slow calls"}),
    ("message parked", f"{STATUSES}.park", "after", {"scenario": "paused behind slow calls"}),
)
SCHEDULER_STAGES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("before the start", f"{WORK}.start", "before", {}),
    ("mailing started", f"{WORK}.start", "after", {}),
    ("mailing leased", f"{WORK}.lease_next", "after", {"successful": True}),
    ("before messages are inserted", f"{STATUSES}.plan", "before", {}),
    ("messages inserted", f"{STATUSES}.plan", "after", {"row": "messages inserted"}),
    (
        "commands published",
        PUBLISH_ALL,
        "after",
        {"row": "commands published", "inside": f"{SERVE}:fan_out"},
    ),
    ("before the cursor moves", f"{WORK}.release", "before", {}),
    ("cursor moved", f"{WORK}.release", "after", {}),
    ("cursor moved, behind a slow broker", f"{WORK}.release", "after", {"scenario": "slow broker"}),
    ("before the completion", f"{WORK}.complete", "before", {}),
    ("mailing completed", f"{WORK}.complete", "after", {}),
)
SCHEDULER_CHORES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    (
        "before messages are released",
        f"{STATUSES}.release",
        "before",
        {"scenario": "paused behind slow calls", "mending": True},
    ),
    (
        "messages released, no command",
        f"{STATUSES}.release",
        "after",
        {"scenario": "paused behind slow calls", "mending": True},
    ),
    (
        "released messages' commands published",
        PUBLISH_ALL,
        "after",
        {"scenario": "paused behind slow calls", "mending": True, "inside": f"{SERVE}:release"},
    ),
    ("before a replay's update", f"{STATUSES}.replay", "before", {"scenario": "replayed", "mending": True}),
    ("replay's update, no command", f"{STATUSES}.replay", "after", {"scenario": "replayed", "mending": True}),
    (
        "replay's commands published",
        PUBLISH_ALL,
        "after",
        {"scenario": "replayed", "mending": True, "inside": f"{SERVE}:replay"},
    ),
    ("before a replay is done with", f"{WORK}.finish_replay", "before", {"scenario": "replayed", "mending": True}),
    ("mended messages put off, no command", f"{STATUSES}.put_off", "after", {"scenario": "purged", "mending": True}),
    (
        "mended messages' commands published",
        PUBLISH_ALL,
        "after",
        {"scenario": "purged", "mending": True, "inside": f"{SERVE}:mend"},
    ),
    ("mailing closed", f"{WORK}.close_due", "after", {"scenario": "ended", "successful": True}),
    ("before unsent messages expire", f"{STATUSES}.give_up", "before", {"scenario": "ended"}),
    ("unsent messages expired", f"{STATUSES}.give_up", "after", {"scenario": "ended"}),
    ("messages of a deleted mailing removed", f"{STATUSES}.remove", "after", {"scenario": "deleted"}),
    ("before a deleted mailing is removed", f"{WORK}.remove", "before", {"scenario": "deleted"}),
    ("dead letters leased", f"{LETTERS}.prolong", "after", {"scenario": "letters purged"}),
    (
        "missing dead letters published",
        PUBLISH_ALL,
        "after",
        {"scenario": "letters purged", "inside": "services.scheduler.walk:Walk._add_missing"},
    ),
    ("dead letters marked", f"{LETTERS}.mark", "after", {"scenario": "letters stale"}),
    (
        "dead letters published anew",
        PUBLISH_ALL,
        "after",
        {"scenario": "letters stale", "inside": "services.scheduler.walk:Walk._keep"},
    ),
    ("dead letters acked", "shared.broker.queues:QueueReader.ack", "after", {"scenario": "letters stale"}),
)
API_STAGES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("before a pause", f"{MAILINGS}.change", "before", {"scenario": "paused", "mending": True}),
    ("pause written, not answered", f"{MAILINGS}.change", "after", {"scenario": "paused", "mending": True}),
    ("replay written, not answered", f"{MAILINGS}.ask_replay", "after", {"scenario": "replayed", "mending": True}),
    ("deletion of a mailing written, not answered", f"{MAILINGS}.delete", "after", {"scenario": "deleted"}),
    (
        "client deleted, its messages not cancelled",
        "shared.store.clients:Clients.delete",
        "after",
        {"scenario": "client deleted"},
    ),
    (
        "client opted out, its messages not cancelled",
        "shared.store.clients:Clients.update",
        "after",
        {"scenario": "client opted out"},
    ),
)

REPLAYED_MEANWHILE = Point(
    "before the completion, and the mailing is replayed meanwhile",
    "scheduler",
    f"{WORK}.complete",
    "before",
    "stall",
    "replayed at completion",
    STALL_ROW,
    mending=True,
)

STALLS_OF_SENDER = {stage[0] for stage in SENDER_STAGES} | {
    "record `retrying`, before the retry is published",
    "record `failed`, before the dead letter is published",
}
STALLS_OF_SCHEDULER = {
    "mailing leased",
    "before messages are inserted",
    "messages inserted",
    "commands published",
    "before the cursor moves",
    "before the completion",
}


def all_points() -> tuple[Point, ...]:
    """Every point, deaths first."""
    by_service = {
        "sender": SENDER_STAGES + SENDER_FOLLOWS,
        "scheduler": SCHEDULER_STAGES + SCHEDULER_CHORES,
        "api": API_STAGES,
    }
    deaths = tuple(
        Point(name, service, place, when, **more)
        for service, stages in by_service.items()
        for name, place, when, more in stages
    )
    stalls = {"sender": STALLS_OF_SENDER, "scheduler": STALLS_OF_SCHEDULER}
    stalling = tuple(
        Point(name, service, place, when, "stall", **{**more, "row": STALL_ROW if service == "scheduler" else ""})
        for service, names in stalls.items()
        for name, place, when, more in by_service[service]
        if name in names
    )
    return (*deaths, *stalling, REPLAYED_MEANWHILE)
