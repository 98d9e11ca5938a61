"""Mistakes: bugs that the campaign must find, planted by the launcher, one at a time.

A campaign that finds nothing proves nothing unless it finds these. What was seen to find them (`--mistake NAME` of
`python -m tests.chaos --seed N` and of `python -m tests.chaos.crash_points --only POINT --policy resend`):

| mistake | found by | as |
| --- | --- | --- |
| ack-before-record | seed 1; sender dies: before the record of `sent` | lost, `sending` for ever |
| record-without-token | sender stalls: before the record of `sent` | doubles that are not marked |
| outlived-at-any-age | sender stalls: call answered (hold) | a claim taken for lost within seconds |
| retrying-just-acked | seed 21; sender dies: record `retrying`, before ... | lost, `retrying` for ever |
| cached-mailing | seed 36 | calls with a text that had been edited |
| cursor-before-confirms | scheduler dies: cursor moved, behind a slow broker | lost, `queued` for ever |
| complete-without-lease | scheduler stalls: before the completion, and ... | completed while messages are open |
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.chaos.planting import replace

CACHED_FOR_S = 30.0


def plant_mistake(name: str, service: str) -> None:
    """Plant a mistake, if it is one of this service.

    Raises:
        KeyError: there is no such mistake.
    """
    of_service, plant = MISTAKES[name]
    if of_service == service:
        plant()


def _ack_before_record() -> None:
    """The command is acked as soon as the provider has answered."""

    def make(original: Any) -> Any:
        def put(self: Any, finished: Any) -> None:
            self._follower._hand.settle(finished.task)
            original(self, finished)

        return put

    replace("services.sender.record:Recorder.put", make)


def _record_without_token() -> None:
    """A record is made for whoever is being sent, whosever claim that is."""
    _forget("shared.store.message_statuses:MessageStatuses.record", "claim.token")


def _outlived_at_any_age() -> None:
    """A claim that another sender has just made is taken for one that has lost its sender."""
    replace("services.sender.judge:CLAIM_LIMIT", lambda _: timedelta(0))


def _retrying_just_acked() -> None:
    """A command that comes again and finds its retry recorded is acked: the retry will have been published."""

    def make(original: Any) -> Any:
        from services.sender.judge import Finding

        def find(*arguments: Any) -> Any:
            finding = original(*arguments)
            return Finding.NOTHING_TO_DO if finding is Finding.RETRY_MISSING else finding

        return find

    replace("services.sender.judge:find", make)


def _cached_mailing() -> None:
    """A mailing that was read is taken for what it is, for a while."""
    cache: dict[int, tuple[float, Any]] = {}

    def make(original: Any) -> Any:
        async def read_mailings(mailings: Any, mailing_ids: Any, **options: Any) -> dict[int, Any]:
            now_s = time.monotonic()
            known = {one: cache[one][1] for one in mailing_ids if one in cache and cache[one][0] > now_s}
            read = await original(mailings, set(mailing_ids) - set(known), **options)
            cache.update({one: (now_s + CACHED_FOR_S, mailing) for one, mailing in read.items()})
            return known | dict(read)

        return read_mailings

    replace("services.sender.check:read_mailings", make)


def _cursor_before_confirms() -> None:
    """The fan-out goes on without having heard that its commands are in the queue."""
    under_way: set[asyncio.Task[None]] = set()

    class Hasty:
        def __init__(self, publisher: Any) -> None:
            self._publisher = publisher

        async def publish_all(self, publications: Any, *, within_s: float) -> None:
            task = asyncio.create_task(self._publisher.publish_all(list(publications), within_s=within_s))
            under_way.add(task)
            task.add_done_callback(under_way.discard)

    def make(original: Any) -> Any:
        async def fan_out(leased: Any, tools: Any, **options: Any) -> Any:
            return await original(leased, dataclasses.replace(tools, publisher=Hasty(tools.publisher)), **options)

        return fan_out

    replace("services.scheduler.serve:fan_out", make)


def _complete_without_lease() -> None:
    """A mailing is completed by whoever once found that nothing is open."""
    _forget("shared.store.mailing_work:MailingWork.complete", "lease.token")


class _Forgetful:
    """A collection whose updates do not ask for one field."""

    def __init__(self, collection: Any, field: str) -> None:
        self._collection = collection
        self._field = field

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._collection, name)
        if name not in ("update_one", "update_many"):
            return attribute

        async def update(query: dict[str, Any], *arguments: Any) -> Any:
            assert self._field in query, f"the update does not ask for {self._field} any more"
            return await attribute({key: one for key, one in query.items() if key != self._field}, *arguments)

        return update


def _forget(place: str, field: str) -> None:
    """Have a method of the store not ask for a field."""

    def make(original: Any) -> Any:
        async def method(self: Any, *arguments: Any, **options: Any) -> Any:
            forgetful = object.__new__(type(self))
            forgetful.__dict__.update(self.__dict__, _collection=_Forgetful(self._collection, field))
            return await original(forgetful, *arguments, **options)

        return method

    replace(place, make)


MISTAKES: dict[str, tuple[str, Callable[[], None]]] = {
    "ack-before-record": ("sender", _ack_before_record),
    "record-without-token": ("sender", _record_without_token),
    "outlived-at-any-age": ("sender", _outlived_at_any_age),
    "retrying-just-acked": ("sender", _retrying_just_acked),
    "cached-mailing": ("sender", _cached_mailing),
    "cursor-before-confirms": ("scheduler", _cursor_before_confirms),
    "complete-without-lease": ("scheduler", _complete_without_lease),
}
