"""Seven mistakes that an implementer would naturally make, each planted into the product as it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.scheduler import serve
from services.sender import judge
from services.sender.judge import Finding
from shared.domain.message import RETRYING
from tests.integration.protocol.process import Process
from tests.integration.protocol.services import Sender

Plant = Callable[[Process], None]


def ack_before_record(process: Process) -> None:
    """A command is acked as soon as its call has ended."""
    if not isinstance(process, Sender):
        return
    sender, put = process, process.pipeline._recorder.put

    def acked_first(finished: Any) -> None:
        finished.task.delivery.settle()
        sender.channel.flush()
        put(finished)

    process.pipeline._deliverer._record = acked_first
    process.pipeline._judge._record = acked_first


def record_without_token(process: Process) -> None:
    """An outcome is written whoever has the message by then: under whatever token it bears."""

    async def record(real: Any, records: Any, *, token: str, now: Any) -> Any:
        standings = await process.store.messages.standings([one.message_id for one in records])
        tokens = {standings[one.message_id].claim_token or token for one in records}
        return sum([await real(records, token=one, now=now) for one in sorted(tokens)])

    process.overrides["message_statuses.record"] = record


def cached_mailing(process: Process) -> None:
    """A sender keeps what it once read of a mailing."""
    kept: dict[int, Any] = {}

    async def current(real: Any, mailing_ids: Any) -> Any:
        if unknown := set(mailing_ids) - set(kept):
            kept.update(await real(unknown))
        return {one: kept[one] for one in mailing_ids if one in kept}

    process.overrides["mailings.current"] = current


def complete_without_lease(process: Process) -> None:
    """A mailing is completed by whoever has found nothing open, though the lease may be another's by now."""

    async def complete(real: Any, leased: Any, **what: Any) -> Any:
        document = await process.store._database["mailings"].find_one({"_id": leased.mailing.id})
        token = (document["lease"] or {}).get("token")
        return await real(replace(leased, token=token), **what)

    process.overrides["mailing_work.complete"] = complete


class Late:
    """A publisher that publishes when it is told to, not when it is asked to."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher
        self._kept: list[Any] = []
        publisher.process.after_turn = self.flush

    async def publish_all(self, publications: Any, *, within_s: float) -> None:
        self._kept += publications

    async def flush(self) -> None:
        kept, self._kept = self._kept, []
        await self._publisher.publish_all(kept, within_s=1.0)


@contextmanager
def outlived_at_any_age() -> Iterator[Plant]:
    """A recovering command takes any claim that it finds for outlived."""
    limit, judge.CLAIM_LIMIT = judge.CLAIM_LIMIT, timedelta(0)
    try:
        yield lambda _: None
    finally:
        judge.CLAIM_LIMIT = limit


@contextmanager
def retrying_just_acked() -> Iterator[Plant]:
    """A recovering command that finds its outcome recorded as a retry believes the retry to be published."""
    find = judge.find

    def find_no_retry(task: Any, standing: Any, now: Any) -> Finding:
        if standing is not None and standing.status is RETRYING and standing.attempt == task.command.attempt:
            return Finding.NOTHING_TO_DO
        return find(task, standing, now)

    judge.find = find_no_retry
    try:
        yield lambda _: None
    finally:
        judge.find = find


@contextmanager
def cursor_before_confirms() -> Iterator[Plant]:
    """The fan-out moves its cursor, and publishes the commands then."""
    fan_out = serve.fan_out

    async def cursor_first(leased: Any, tools: Any, *, limit: int) -> Any:
        late: Any = Late(tools.publisher)
        return await fan_out(leased, replace(tools, publisher=late), limit=limit)

    serve.fan_out = cursor_first
    try:
        yield lambda _: None
    finally:
        serve.fan_out = fan_out


def planted(plant: Plant) -> Callable[[], Any]:
    @contextmanager
    def mistake() -> Iterator[Plant]:
        yield plant

    return mistake


MISTAKES: dict[str, Callable[[], Any]] = {
    "ack-before-record": planted(ack_before_record),
    "record-without-token": planted(record_without_token),
    "outlived-at-any-age": outlived_at_any_age,
    "retrying-just-acked": retrying_just_acked,
    "cached-mailing": planted(cached_mailing),
    "cursor-before-confirms": cursor_before_confirms,
    "complete-without-lease": planted(complete_without_lease),
}
