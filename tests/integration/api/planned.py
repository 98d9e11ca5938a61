"""Mailings with messages in every status, put into the store as scheduler and sender would do it."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from shared.domain.audience import Audience
from shared.domain.mailing import SCHEDULED, Mailing
from shared.domain.message import (
    CANCELLED,
    EXPIRED,
    FAILED,
    QUEUED,
    RETRYING,
    SENDING,
    SENT,
    UNKNOWN,
    WAITING,
    MessageStatus,
    OnUnknown,
    Outcome,
)
from shared.runtime.clock import SystemClock
from shared.store.mailing_work import LeasedMailing
from shared.store.message_documents import Attempt, PlannedMessage
from shared.store.message_statuses import Record
from shared.store.store import Store

OUTCOMES: Mapping[MessageStatus, Outcome] = {
    SENT: Outcome.ACCEPTED,
    FAILED: Outcome.PERMANENT,
    UNKNOWN: Outcome.UNKNOWN,
    RETRYING: Outcome.REFUSED,
}
EVERY_STATUS: tuple[MessageStatus, ...] = tuple(MessageStatus)


async def running_mailing(store: Store, *, name: str = "planned", lasts: timedelta = timedelta(hours=1)) -> Mailing:
    """A mailing that has started."""
    now = SystemClock().now()
    wanted = Mailing(
        id=0,
        name=name,
        text="Hello",
        audience=Audience(tags=("nobody",)),
        start_at=now,
        end_at=now + lasts,
        local_window=None,
        rate_per_s=None,
        on_unknown=OnUnknown.RESEND,
        status=SCHEDULED,
    )
    created = await store.mailings.create(wanted, now)
    started = await store.mailing_work.start(created.id, upper_id=0, now=now)
    assert started is not None
    return started


async def plan(
    store: Store,
    mailing: Mailing,
    statuses: Sequence[MessageStatus],
    *,
    client_ids: Sequence[int] | None = None,
    ambiguous: bool = False,
    reason: str = "refused_by_provider",
    tags: tuple[str, ...] = ("vip", "a.b/$c"),
) -> list[int]:
    """Messages in these statuses, one each, with an attempt where the status means that there was one; their ids."""
    now = SystemClock().now()
    first = await store.sequences.reserve("messages", len(statuses))
    message_ids = list(range(first, first + len(statuses)))
    clients = client_ids or [secrets.randbelow(2**40) + 2**40 for _ in statuses]
    await store.message_statuses.plan(
        [
            PlannedMessage(
                id=message_id,
                mailing_id=mailing.id,
                client_id=client_id,
                phone="79001234567",
                operator_code="900",
                tags=tags,
                timezone="Europe/Moscow",
                fields={},
                status=status if status in (WAITING, EXPIRED) else QUEUED,
                due_at=None if status is EXPIRED else now + timedelta(hours=1),
                last_attempt=6,
                reason="mailing_ended" if status is EXPIRED else None,
            )
            for message_id, client_id, status in zip(message_ids, clients, statuses, strict=True)
        ],
        now,
    )
    by_id = dict(zip(message_ids, statuses, strict=True))
    cancelled = [message_id for message_id, status in by_id.items() if status is CANCELLED]
    await store.message_statuses.give_up(cancelled, CANCELLED, reason="mailing_cancelled", now=now)
    tried = {message_id: 1 for message_id, status in by_id.items() if status in OUTCOMES or status is SENDING}
    await store.message_statuses.claim(tried, token="t", sender="s", at=now, due_at=now + timedelta(minutes=1))
    records = [
        _record(message_id, by_id[message_id], now, ambiguous=ambiguous, reason=reason)
        for message_id in tried
        if by_id[message_id] is not SENDING
    ]
    await store.message_statuses.record(records, token="t", now=now)
    return message_ids


async def lease(store: Store, mailing: Mailing) -> LeasedMailing:
    """The lease of a mailing that has something to do, as a scheduler gets it; others are looked at and put back."""
    now = SystemClock().now()
    others: list[LeasedMailing] = []
    while (leased := await store.mailing_work.lease_next(now, owner="test", lease_s=60)) is not None:
        if leased.mailing.id == mailing.id:
            break
        others.append(leased)
    for other in others:
        await store.mailing_work.release(other, look_at=now)
    assert leased is not None, "it has nothing to do"
    return leased


async def complete(store: Store, mailing: Mailing) -> None:
    """Complete a mailing: nothing open must be left."""
    now = SystemClock().now()
    await store.mailing_work.release(await lease(store, mailing), look_at=now, fan_out__done=True)
    statistics = await store.statistics.whole(mailing.id)
    assert await store.mailing_work.complete(await lease(store, mailing), statistics=statistics, now=now)


def _record(message_id: int, status: MessageStatus, now: datetime, *, ambiguous: bool, reason: str) -> Record:
    sent = status is SENT
    attempt = Attempt(now, OUTCOMES[status], 200 if sent else 400, 20, None if sent else "said no")
    is_ambiguous = ambiguous or status is UNKNOWN
    due_at = now + timedelta(hours=1) if status is RETRYING else None
    return Record(message_id, status, is_ambiguous, None if sent else reason, due_at, attempt, revision=1)
