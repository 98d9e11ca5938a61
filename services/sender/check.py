"""Check: after the claim, one read of the batch's mailings and clients; then go, or not.

Read from the store and after the claim, not from a cache: so no call starts after a pause, cancel, edit, opt-out or
deletion was answered, except on claims made before it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from services.sender.current_mailings import read_mailings
from services.sender.decide import Cancel, Decision, Fail, Go, Park, decide
from services.sender.error_text import error_text
from services.sender.give_back import GiveBack
from services.sender.task import ClaimedTask, ReadyTask
from shared.domain.mailing import Mailing
from shared.domain.message import FAILED as MESSAGE_FAILED
from shared.domain.message import Outcome, given_up
from shared.domain.text import Template, parse_text
from shared.runtime.clock import Clock
from shared.store.connection import until_answered
from shared.store.message_documents import Attempt
from shared.store.message_statuses import Record
from shared.store.store import Store

UNREADABLE_WAIT = timedelta(minutes=5)

log = structlog.get_logger()


class Checker:
    """Checks batches of claimed tasks."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        give_back: GiveBack,
        *,
        report_store: Callable[[str], None],
        pause: Callable[[datetime], None],
        deliver: Callable[[ReadyTask], None],
        record: Callable[[ClaimedTask, Record], None],
    ) -> None:
        """
        Args:
            pause: told until when the provider has asked any sender to be left alone.
            deliver: takes what may go.
            record: takes what has failed without a call.
        """
        self._store = store
        self._clock = clock
        self._give_back = give_back
        self._report_store = report_store
        self._pause = pause
        self._deliver = deliver
        self._record = record

    async def check(self, batch: Sequence[ClaimedTask]) -> None:
        """Decide for each task of a batch, and hand it on."""
        try:
            paused_until, mailings, attributes = await self._read(batch)
        except Exception:
            log.exception("check.put_off", message_ids=[one.message.id for one in batch])
            await self._give_back.put_off(batch, reason="check_failed")
            return
        if paused_until is not None and paused_until > self._clock.now():
            self._pause(paused_until)
            await self._give_back.hand_over(batch)
            return
        templates = {mailing.id: _template(mailing) for mailing in mailings.values() if mailing is not None}
        parked: dict[Park, list[ClaimedTask]] = {}
        cancelled: dict[Cancel, list[ClaimedTask]] = {}
        now = self._clock.now()
        for one in batch:
            mailing_id = one.message.mailing_id
            mailing, template = mailings.get(mailing_id), templates.get(mailing_id)
            one.task.generation = mailing.generation if mailing else None
            if mailing_id in mailings and template is None:
                # The whole audience's trouble, and to be mended by an edit or an update: not their failure.
                parked.setdefault(Park("mailing_unreadable", now + UNREADABLE_WAIT), []).append(one)
                continue
            match self._decide(one, mailing, attributes.get(one.message.client_id), template, now):
                case Go(text, closes_at) if mailing is not None:
                    self._deliver(ReadyTask(one, mailing, text, closes_at))
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

    async def _read(
        self, batch: Sequence[ClaimedTask]
    ) -> tuple[datetime | None, dict[int, Mailing | None], dict[int, dict[str, str]]]:
        """The pause for all senders, the mailings, and the clients' attributes, as they are now; asked for at once."""
        mailing_ids = {one.message.mailing_id for one in batch}
        client_ids = [one.message.client_id for one in batch]
        return await asyncio.gather(
            until_answered(self._store.provider_state.paused_until, report=self._report_store),
            read_mailings(self._store.mailings, mailing_ids, report=self._report_store),
            until_answered(lambda: self._store.clients.reachable(client_ids), report=self._report_store),
        )

    def _decide(
        self,
        one: ClaimedTask,
        mailing: Mailing | None,
        attributes: Mapping[str, str] | None,
        template: Template | None,
        now: datetime,
    ) -> Decision:
        """An unexpected error fails this message, as a replay can undo, and leaves the others alone."""
        try:
            return decide(one, mailing, attributes, template, now)
        except Exception as error:
            log.exception(
                "check.failed",
                mailing_id=one.message.mailing_id,
                message_id=one.message.id,
                client_id=one.message.client_id,
            )
            return Fail("check_failed", error_text(error))

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


def _template(mailing: Mailing) -> Template | None:
    """The text of a mailing; None when it cannot be parsed, which the API would not have let in."""
    try:
        return parse_text(mailing.text)
    except Exception:
        log.exception("mailing.unreadable", mailing_id=mailing.id)
        return None
