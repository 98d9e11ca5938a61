"""Check: after the claim, one read of the batch's mailings and clients; then go, or not.

Read from the store and after the claim, not from a cache: so no call starts after a pause, cancel, edit, opt-out or
deletion was answered, except on claims made before it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.sender.give_back import GiveBack
from services.sender.task import ClaimedTask, ReadyTask
from shared.domain.client import zone
from shared.domain.mailing import RUNNING, Mailing
from shared.domain.message import FAILED as MESSAGE_FAILED
from shared.domain.message import Outcome, given_up
from shared.domain.text import MissingAttribute, Template, parse_text
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_documents import Attempt
from shared.store.message_statuses import Record
from shared.store.store import Store


@dataclass(frozen=True, slots=True)
class Park:
    """Not now: why, and when to look at it again."""

    reason: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Cancel:
    """Not to this client any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Never: the text cannot be made for this client."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Go:
    """Deliver this text."""

    text: str


Decision = Park | Cancel | Fail | Go


def decide(
    claimed: ClaimedTask,
    mailing: Mailing | None,
    attributes: Mapping[str, str] | None,
    template: Template | None,
    now: datetime,
) -> Decision:
    """What becomes of a claimed message.

    Args:
        mailing: as it is now; None when it was removed.
        attributes: the client's, as they are now; None when the client is gone or has opted out.
        template: the mailing's text, parsed.
    """
    if mailing is None or template is None:
        return Cancel("mailing_deleted")
    if mailing.closed_at is not None or (mailing.end_at is not None and mailing.end_at <= now):
        return Park("mailing_ended", now)
    if mailing.status is not RUNNING:
        return Park(f"mailing_{mailing.status}", now)
    if attributes is None:
        return Cancel("client_gone")
    if mailing.local_window is not None:
        client_zone = zone(claimed.message.timezone)
        if not mailing.local_window.is_open(now, client_zone):
            return Park("window_closed", mailing.local_window.opens_at(now, client_zone))
    try:
        # What the client was when the message was planned comes first; an edited text may use more than was kept.
        return Go(template.render({**attributes, **claimed.message.fields}))
    except MissingAttribute as error:
        return Fail("missing_attribute", f"the client has no attribute {error.name}")


class Checker:
    """Checks batches of claimed tasks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        give_back: GiveBack,
        *,
        report_store: Callable[[str], None],
        deliver: Callable[[ReadyTask], None],
        record: Callable[[ClaimedTask, Record], None],
    ) -> None:
        """
        Args:
            deliver: takes what may go.
            record: takes what has failed without a call.
        """
        self._store = store
        self._clock = clock
        self._give_back = give_back
        self._report_store = report_store
        self._deliver = deliver
        self._record = record

    async def check(self, batch: list[ClaimedTask]) -> None:
        """Decide for each task of a batch, and hand it on."""
        mailings = await until_answered(
            lambda: self._store.mailings.current({one.message.mailing_id for one in batch}), report=self._report_store
        )
        attributes = await until_answered(
            lambda: self._store.clients.reachable([one.message.client_id for one in batch]), report=self._report_store
        )
        templates = {mailing.id: parse_text(mailing.text) for mailing in mailings.values()}
        parked: dict[Park, list[ClaimedTask]] = {}
        cancelled: dict[Cancel, list[ClaimedTask]] = {}
        now = self._clock.now()
        for one in batch:
            mailing = mailings.get(one.message.mailing_id)
            template = templates.get(one.message.mailing_id)
            match decide(one, mailing, attributes.get(one.message.client_id), template, now):
                case Go(text) if mailing is not None:
                    self._deliver(ReadyTask(one, mailing, text))
                case Fail(reason, error):
                    self._record(one, self._failed(one, reason, error, now, mailing))
                case Park() as park:
                    parked.setdefault(park, []).append(one)
                case Cancel() as cancel:
                    cancelled.setdefault(cancel, []).append(one)
        for park, tasks in parked.items():
            await self._give_back.park(tasks, reason=park.reason, due_at=park.due_at)
        for cancel, tasks in cancelled.items():
            await self._give_back.cancel(tasks, reason=cancel.reason)

    def _failed(self, one: ClaimedTask, reason: str, error: str, now: datetime, mailing: Mailing | None) -> Record:
        return Record(
            message_id=one.message.id,
            status=given_up(MESSAGE_FAILED, ambiguous=one.message.ambiguous),
            ambiguous=one.message.ambiguous,
            reason=reason,
            due_at=None,
            attempt=Attempt(now, Outcome.PERMANENT, error=error),
            revision=mailing.revision if mailing else None,
        )
