"""The promises: what may never be seen, whoever dies, stalls or comes late."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.sender.task import CLAIM_LIMIT_S
from shared.domain.message import (
    DEAD,
    OPEN,
    PLANNED_AS,
    RETRYING,
    SENDING,
    STEPS,
    Actor,
    MessageStatus,
)
from tests.integration.protocol.process import Process
from tests.integration.protocol.provider import Ledger, LedgerEntry

Document = dict[str, Any]
CLAIM_LIMIT = timedelta(seconds=CLAIM_LIMIT_S)
MAY_BE_ACCEPTED = frozenset({MessageStatus.SENT, MessageStatus.UNKNOWN}) | OPEN


@dataclass
class Promises:
    """What was seen so far, and every promise that did not hold.

    Attributes:
        turn: counts the acts of all processes: what was before what.
        stopped: of mailings that do not run, and of clients who are gone, the turn at which that was answered.
    """

    ledger: Ledger
    hold: bool
    broken: list[str] = field(default_factory=list)
    turn: int = 0
    claimed: dict[str, int] = field(default_factory=dict)  # token -> turn of its claim
    called: Counter[tuple[str, int]] = field(default_factory=Counter)  # token and message -> calls
    stopped: dict[tuple[str, int], int] = field(default_factory=dict)
    messages: dict[int, Document] = field(default_factory=dict)
    mailings: dict[int, Document] = field(default_factory=dict)
    replayed: set[int] = field(default_factory=set)
    died_by_sender: set[int] = field(default_factory=set)
    planned_late: set[int] = field(default_factory=set)

    def break_(self, what: str) -> None:
        if what not in self.broken:
            self.broken.append(what)

    # --- a call ---

    def on_call(self, call: LedgerEntry) -> None:
        """A call starts: not after the end, not after a stop that its claim came after, and once for a claim."""
        message = self.messages[call.message_id]
        mailing = self.mailings[message["mailing_id"]]
        if call.at >= mailing["end_at"]:
            self.break_(f"message {call.message_id} is called at {call.at}, its mailing ended at {mailing['end_at']}")
        for who in (("mailing", message["mailing_id"]), ("client", message["client_id"])):
            if self.claimed[call.token] > self.stopped.get(who, self.turn):
                self.break_(f"message {call.message_id} is called on a claim made after a stop of {who}")
        self.called[call.token, call.message_id] += 1
        if self.called[call.token, call.message_id] > 1:
            self.break_(f"message {call.message_id} is called twice on one claim")

    # --- a write ---

    def on_write(
        self, process: Process, messages: Iterable[Document], mailings: Iterable[Document], now: datetime
    ) -> None:
        """Something was written by a process: whatever changed must have been a step that it may take."""
        completed_before = {one["_id"] for one in self.mailings.values() if one["status"] == "completed"}
        self.mailings = {one["_id"]: one for one in mailings}
        before, self.messages = self.messages, {one["_id"]: one for one in messages}
        for message_id, gone in before.items():
            if message_id not in self.messages:
                self.break_(f"message {message_id} of client {gone['client_id']} is gone")
        for message_id, one in self.messages.items():
            if message_id not in before:
                self._planned(process, one)
            elif before[message_id] != one:
                self._changed(process, before[message_id], one, now)
        for mailing in self.mailings.values():
            if mailing["status"] == "completed" and mailing["_id"] not in completed_before:
                self._completed(mailing)

    def _planned(self, process: Process, one: Document) -> None:
        if MessageStatus(one["status"]) not in PLANNED_AS:
            self.break_(f"message {one['_id']} is planned as {one['status']}")
        lease = self.mailings[one["mailing_id"]]["lease"]
        if lease is None or lease["owner"] != process.name:
            self.planned_late.add(one["_id"])  # by a scheduler that was stopped and woke up

    def _changed(self, process: Process, before: Document, one: Document, now: datetime) -> None:
        left, entered = MessageStatus(before["status"]), MessageStatus(one["status"])
        name = f"message {one['_id']} ({left} -> {entered} by {process.name})"
        if left is not entered and process.actor not in STEPS[left].get(entered, frozenset()):
            self.break_(f"{name}: no such step")
        if left is SENDING and entered is not SENDING:
            claim = before["claim"]
            if claim["sender"] != process.name and now - claim["at"] < CLAIM_LIMIT:
                self.break_(f"{name}: the claim of {claim['sender']} is only {now - claim['at']} old")
        if one["attempt"] > one["last_attempt"]:
            self.break_(f"{name}: attempt {one['attempt']} of {one['last_attempt']}")
        if one["attempt"] != before["attempt"] and abs(one["attempt"] - before["attempt"]) != 1:
            self.break_(f"{name}: attempt {before['attempt']} -> {one['attempt']}")
        if before["ambiguous"] and not one["ambiguous"]:
            self.break_(f"{name}: it was ambiguous")
        mailing = self.mailings[one["mailing_id"]]
        if entered is MessageStatus.EXPIRED and mailing["closed_at"] is None:
            self.break_(f"{name}: the mailing is not closed")
        if left in DEAD and entered not in DEAD:
            self.replayed.add(one["_id"])
        if entered in DEAD and process.actor is Actor.SENDER and one["reason"] != "client_gone":
            self.died_by_sender.add(one["_id"])
        else:
            self.died_by_sender.discard(one["_id"])

    def _completed(self, mailing: Document) -> None:
        for one in self.messages.values():
            mine = one["mailing_id"] == mailing["_id"] and one["_id"] not in self.planned_late
            if mine and MessageStatus(one["status"]) in OPEN:
                self.break_(f"mailing {mailing['_id']} is completed, message {one['_id']} is {one['status']}")

    # --- after every act ---

    def look(self) -> None:
        """What each message says is true, by the ledger."""
        for one in self.messages.values():
            status, accepted = MessageStatus(one["status"]), self.ledger.accepted(one["_id"])
            name = f"message {one['_id']}, which is {status},"
            if status is MessageStatus.SENT and not accepted:
                self.break_(f"{name} was never accepted")
            if accepted and status not in MAY_BE_ACCEPTED:
                self.break_(f"{name} was accepted")
            if accepted and status is RETRYING and not one["ambiguous"]:
                self.break_(f"{name} was accepted and is not marked ambiguous")
            if accepted > 1 and not one["ambiguous"]:
                self.break_(f"{name} was accepted {accepted} times and is not marked ambiguous")
            if accepted > 1 and self.hold and one["_id"] not in self.replayed:
                self.break_(f"{name} was accepted {accepted} times, though unknown outcomes are held")
            if status in OPEN and one["due_at"] is None:
                self.break_(f"{name} has no moment at which it is looked after")

    # --- at rest ---

    def at_rest(self, audience: Iterable[tuple[int, int]], letters: list[int], *, walked: bool) -> None:
        """Everything has come to its end.

        Args:
            audience: mailing and client of each message that must be there.
            letters: the message of each entry among the dead letters.
            walked: whether a scheduler has put the dead letters right; before, those of senders are there.
        """
        there = Counter((one["mailing_id"], one["client_id"]) for one in self.messages.values())
        for mailing_id, client_id in audience:
            if not there[mailing_id, client_id]:
                self.break_(f"client {client_id} of mailing {mailing_id} has no message")
        for pair, count in there.items():
            if count > 1:
                self.break_(f"client {pair[1]} of mailing {pair[0]} has {count} messages")
        for one in self.messages.values():
            if MessageStatus(one["status"]) in OPEN:
                self.break_(f"message {one['_id']} is {one['status']} for ever")
        dead = {one["_id"] for one in self.messages.values() if MessageStatus(one["status"]) in DEAD}
        if missing := (dead if walked else self.died_by_sender & dead) - set(letters):
            self.break_(f"dead letters of {sorted(missing)} are missing")
        if walked and sorted(letters) != sorted(dead):
            self.break_(f"dead letters {sorted(letters)}, dead messages {sorted(dead)}")
        for mailing in self.mailings.values():
            if mailing["status"] not in ("completed", "cancelled"):
                self.break_(f"mailing {mailing['_id']} is {mailing['status']} for ever")
            elif mailing["statistics"] is None:
                self.break_(f"mailing {mailing['_id']} has no statistics")
            else:
                counts = Counter(one["status"] for one in self.messages.values() if one["mailing_id"] == mailing["_id"])
                if {name: count for name, count in mailing["statistics"]["counts"].items() if count} != counts:
                    self.break_(f"mailing {mailing['_id']} says {mailing['statistics']['counts']}, it is {counts}")
