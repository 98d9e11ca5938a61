"""Mailings deleted, cancelled before they ran, replayed, listed: what operators, senders and schedulers then find."""

from datetime import time
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.audience import Audience
from shared.domain.mailing import CANCELLED, COMPLETED, DRAFT, PAUSED, RUNNING, SCHEDULED, MailingStatus
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from shared.errors import Conflict, NotFound
from shared.store.mailing_documents import Replay
from shared.store.mailings import MAX_REPLAYS_PENDING, MailingFilter
from shared.store.store import Store
from tests.integration.store.making import PLANNED, after, mailing_document, make_mailing

EDITED: dict[str, Any] = {
    "name": "autumn $name",
    "text": "Bye {name} \0 🎈",
    "audience": Audience(("900", "901"), ("a.b", "$x")),
    "start_at": after(20),
    "end_at": after(7_200),
    "local_window": LocalWindow(time(22), time(6, 30)),
    "rate_per_s": 0.5,
    "on_unknown": OnUnknown.HOLD,
}


@pytest.mark.parametrize("status", [DRAFT, SCHEDULED, PAUSED])
async def test_one_that_never_started_is_cancelled_and_settled(
    store: Store, past: Database[dict[str, Any]], status: MailingStatus
) -> None:
    # Given a mailing that never ran, and is cancelled
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=status), look_at=None))
    cancelled = await store.mailings.change(await store.mailings.get(1), after(1), status=CANCELLED)
    assert cancelled is not None

    # Then a scheduler looks at it, although there is nothing to sweep, and nobody starts it any more
    assert await store.mailing_work.start(1, upper_id=1, now=after(9_999)) is None
    leased = await store.mailing_work.lease_next(after(1), owner="one", lease_s=60)
    assert leased is not None
    assert leased.fan_out is None
    statistics = await store.statistics.whole(1)
    assert statistics["audience_size"] == 0
    assert await store.mailing_work.release(leased, look_at=None, statistics=statistics)
    assert (await store.mailings.get(1)).statistics == statistics


async def test_a_deleted_one_is_hidden_at_once_and_cancelled_for_senders(
    store: Store, past: Database[dict[str, Any]]
) -> None:
    # Given a mailing with all it may have
    past.mailings.insert_one(
        mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED, replays=[{"asked_at": after(0)}])
    )
    seen = await store.mailings.get(1)

    # When it is deleted
    assert await store.mailings.delete(1, after(5), seen=seen)

    # Then operators find it no more
    mailings = store.mailings
    for look in (mailings.get, mailings.revisions):
        with pytest.raises(NotFound):
            await look(1)
    assert await mailings.page(MailingFilter(), before_id=None, limit=10) == []
    assert await mailings.counted_now(without=()) == []
    assert await mailings.ids_with_dead_letters(from_id=0, limit=10) == []
    assert await mailings.delete(1, after(6)) is False
    assert await mailings.change(seen, after(6), status=PAUSED) is None

    # And senders find it cancelled, and schedulers with something to do and nothing to replay
    assert (await mailings.current([1]))[1].status is CANCELLED
    leased = await store.mailing_work.lease_next(after(5), owner="one", lease_s=60)
    assert leased is not None
    assert leased.deleted
    assert leased.replays == ()
    await store.mailing_work.remove(leased)
    assert await mailings.current([1]) == {}


async def test_a_replay_is_asked_for(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a completed mailing
    past.mailings.insert_one(
        mailing_document(
            make_mailing(id=1, status=COMPLETED),
            fan_out=PLANNED,
            look_at=None,
            statistics={"counts": {}, "ambiguous": 0},
        )
    )
    asked = await store.mailings.ask_replay(
        await store.mailings.get(1), Replay(after(5), (), "$why", (2**60,)), after(5)
    )

    # Then it runs again, its statistics are not frozen any more, and a scheduler looks at it
    assert asked is not None
    assert (asked.status, asked.statistics) == (RUNNING, None)
    leased = await store.mailing_work.lease_next(after(5), owner="one", lease_s=60)
    assert leased is not None
    assert leased.replays == (Replay(after(5), (), "$why", (2**60,)),)
    # And one that was asked for at the same moment is asked for again, later: by that they are told apart
    assert await store.mailings.ask_replay(asked, Replay(after(5), (), None, ()), after(6)) is None
    assert await store.mailings.ask_replay(asked, Replay(after(6), (), None, ()), after(6)) is not None


async def test_no_more_replays_wait_than_may(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    seen = await store.mailings.get(1)
    for number in range(MAX_REPLAYS_PENDING):
        assert await store.mailings.ask_replay(seen, Replay(after(number), (), None, ()), after(number))
    with pytest.raises(Conflict) as refused:
        await store.mailings.ask_replay(seen, Replay(after(99), (), None, ()), after(99))
    assert refused.value.code == "too_many_replays"
    # And a cancel clears them
    assert await store.mailings.change(seen, after(100), status=CANCELLED)
    document = past.mailings.find_one({"_id": 1})
    assert document is not None
    assert document["replays"] == []


async def test_mailings_are_listed_by_what_narrows_them(store: Store, past: Database[dict[str, Any]]) -> None:
    for number, status in enumerate(MailingStatus, start=1):
        mailing = make_mailing(id=number, status=status, name=f"m{number % 2}", start_at=after(number))
        past.mailings.insert_one(mailing_document(mailing))

    async def ids(narrowed: MailingFilter, *, before_id: int | None = None, limit: int = 10) -> list[int]:
        return [one.id for one in await store.mailings.page(narrowed, before_id=before_id, limit=limit)]

    assert await ids(MailingFilter()) == [6, 5, 4, 3, 2, 1]
    assert await ids(MailingFilter(), before_id=4, limit=2) == [3, 2]
    assert await ids(MailingFilter(statuses=(RUNNING, DRAFT))) == [3, 1]
    assert await ids(MailingFilter(name="m1")) == [5, 3, 1]
    assert await ids(MailingFilter(start_from=after(2), start_to=after(4))) == [3, 2]
    assert await ids(MailingFilter(name="m1", statuses=(PAUSED,))) == []


async def test_those_with_something_open_are_looked_at_soon(store: Store, past: Database[dict[str, Any]]) -> None:
    states = [(1, PLANNED, after(99)), (2, PLANNED, None), (3, None, after(99)), (4, PLANNED, after(99))]
    for number, fan_out, look_at in states:
        document = mailing_document(make_mailing(id=number, status=RUNNING), fan_out=fan_out, look_at=look_at)
        past.mailings.insert_one(document)
    await store.mailings.look_soon([1, 2, 3, 404], after(5))
    assert {one["_id"]: one["look_at"] for one in past.mailings.find()} == {
        1: after(5),
        2: None,
        3: after(99),
        4: after(99),
    }
