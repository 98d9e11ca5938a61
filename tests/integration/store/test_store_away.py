"""A store that is away, at the start or in the middle: whoever asks is told so, and nothing else; some wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from pymongo import errors

from deploy.local.store import EmbeddedStore
from shared.domain.audience import Audience
from shared.domain.mailing import CANCELLED
from shared.errors import NotFound, StoreUnavailable
from shared.store.clients import ClientFilter
from shared.store.connection import is_passing, until_answered
from shared.store.mailing_documents import Replay
from shared.store.mailings import MailingFilter
from shared.store.store import Store
from tests.integration.store.making import after, make_client, make_mailing, make_planned, make_record
from tests.support.eventually import eventually


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed-store")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[EmbeddedStore]:
    """A store of our own, since it is killed. Not started yet."""
    server = EmbeddedStore(folder)
    yield server
    server.kill()


@pytest.fixture
async def store(server: EmbeddedStore) -> AsyncIterator[Store]:
    store = Store(server.mongo_url, "away")
    yield store
    store.close()


async def start(server: EmbeddedStore) -> None:
    server.spawn()
    await asyncio.to_thread(server.wait_until_ready)


async def test_at_the_start_it_is_waited_for(server: EmbeddedStore, store: Store) -> None:
    # Given no store
    reports: list[str] = []
    began_at_s = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    assert time.monotonic() - began_at_s < 6

    # When it comes while a service prepares it, then that goes on
    preparing = asyncio.create_task(store.prepare(reports.append))
    await eventually(lambda: asyncio.sleep(0, list(reports)), "it says that it waits", within_s=10)
    await start(server)
    async with asyncio.timeout(30):
        await preparing
    assert reports[0].startswith("away: ")
    assert reports[-1] == "up"
    await store.ping()

    # And preparing it once more changes nothing
    await store.prepare(reports.append)


async def test_every_call_says_that_it_is_away_and_nothing_else(server: EmbeddedStore, store: Store) -> None:
    # Given a store that was there, and a mailing that was leased
    await start_if_down(server)
    await store.prepare(lambda _: None)
    seen = await store.mailings.create(make_mailing(), after(0))
    started = await store.mailings.change(seen, after(0), status=CANCELLED)
    assert started is not None
    leased = await store.mailing_work.lease_next(after(1), owner="one", lease_s=60)
    assert leased is not None
    replay = Replay(after(0), (), None, ())

    # When it is gone
    server.kill()
    statuses, work, state = store.message_statuses, store.mailing_work, store.dead_letter_state
    claim = {"token": "t", "sender": "s", "at": after(0), "due_at": after(9)}
    calls = [
        store.sequences.reserve("messages", 1),
        store.clients.create(make_client(1), after(0)),
        store.clients.get(1),
        store.clients.page(ClientFilter(), after_id=0, limit=1),
        store.clients.update(1, {"tags": ()}, after(0)),
        store.clients.delete(1),
        store.clients.greatest_id(),
        store.clients.audience_chunk(Audience(everyone=True), after_id=0, up_to_id=9, limit=1),
        store.clients.reachable([1]),
        store.mailings.create(make_mailing(), after(0)),
        store.mailings.get(1),
        store.mailings.page(MailingFilter(), before_id=None, limit=1),
        store.mailings.change(seen, after(0), status=CANCELLED),
        store.mailings.ask_replay(seen, replay, after(0)),
        store.mailings.delete(1, after(0)),
        store.mailings.current([1]),
        store.mailings.revisions(1),
        work.due_to_start(after(0)),
        work.start(1, upper_id=1, now=after(0)),
        work.close_due(after(0)),
        work.lease_next(after(0), owner="one", lease_s=60),
        work.release(leased, look_at=None),
        work.complete(leased, statistics={}, now=after(0)),
        work.pause(leased, reason="because", now=after(0)),
        work.ended_lately(after(0)),
        work.next_look_at(),
        statuses.plan([make_planned(1), make_planned(2)], after(0)),
        statuses.release([1], due_at=after(0), now=after(0)),
        statuses.claim({1: 1}, **claim),  # type: ignore[arg-type]  # each of its own type
        statuses.hand_back([1], token="t", due_at=after(0), now=after(0)),
        statuses.record([make_record(1)], token="t", now=after(0)),
        statuses.cancel_of_client(1, reason="client_gone", now=after(0)),
        store.messages.get(1),
        store.messages.standings([1]),
        store.messages.has_open(1),
        store.messages.dead_letter_groups(after=None, limit=1, mailing_ids=[1]),
        store.outcomes.add(1, 0, [True], after(0)),
        store.outcomes.recent(1, 0),
        store.statistics.whole(1),
        store.statistics.totals(()),
        state.lease(after(0), every_s=5, lease_s=60),
        state.mark([1], walk="w"),
        store.idempotency_keys.begin("k", request_digest="d", resource_id=1, now=after(0), stale_before=after(0)),
        store.ping(),
    ]

    # Then each says so, and within the time of a server selection or two
    began_at_s = time.monotonic()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [repr(result) for result in results if not isinstance(result, StoreUnavailable)] == []
    assert all(isinstance(result.__cause__, errors.PyMongoError) for result in results if isinstance(result, Exception))
    assert time.monotonic() - began_at_s < 45  # a few at a time: the driver's threads are few


async def test_what_can_be_repeated_goes_on_when_it_comes_back(server: EmbeddedStore, store: Store) -> None:
    # Given senders that claim and record a thousand messages, each call repeated until it is answered
    await start_if_down(server)
    await store.prepare(lambda _: None)
    size, reports = 1_000, []
    await store.message_statuses.plan([make_planned(number) for number in range(size)], after(0))
    sent: list[int] = []

    async def send(batch: range) -> None:
        token = f"token {batch}"
        claimed = await until_answered(
            lambda: store.message_statuses.claim(
                dict.fromkeys(batch, 1), token=token, sender="s", at=after(1), due_at=after(60)
            ),
            report=reports.append,
        )
        assert [one.id for one in claimed] == list(batch)
        records = [make_record(one.id) for one in claimed]
        matched = await until_answered(
            lambda: store.message_statuses.record(records, token=token, now=after(2)), report=reports.append
        )
        if matched != len(records):  # its own answer was lost
            standings = await until_answered(lambda: store.messages.standings(batch), report=reports.append)
            assert {one.status for one in standings.values()} == {"sent"}
        sent.extend(batch)

    batches = [range(begin, begin + 20) for begin in range(0, size, 20)]
    sending = asyncio.create_task(_in_turn(send, batches))

    # When the store is killed in the middle, and comes back
    async with asyncio.timeout(60):
        while len(sent) < 200:
            await asyncio.sleep(0.005)
    server.kill()
    await asyncio.sleep(1)
    await start(server)

    # Then all were sent, each once
    async with asyncio.timeout(120):
        await sending
    assert sorted(sent) == list(range(size))
    assert any(report.startswith("away: ") for report in reports)
    assert reports[-1] == "up"
    standings = await store.messages.standings(range(size))
    assert {(one.status, one.attempt) for one in standings.values()} == {("sent", 1)}
    assert len(standings) == size


async def test_waiting_can_be_given_up(server: EmbeddedStore, store: Store) -> None:
    server.kill()
    waiting = asyncio.create_task(until_answered(store.ping, report=lambda _: None))
    await asyncio.sleep(0.2)
    waiting.cancel()
    async with asyncio.timeout(6):
        await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_other_errors_are_not_waited_out() -> None:
    async def missing() -> None:
        raise NotFound("mailing", 1)

    with pytest.raises(NotFound):
        await until_answered(missing, report=lambda _: None)


async def test_a_closed_store_says_so(server: EmbeddedStore) -> None:
    store = Store(server.mongo_url, "closed")
    store.close()
    with pytest.raises(StoreUnavailable):
        await store.ping()


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (errors.ServerSelectionTimeoutError("nobody"), True),
        (errors.NetworkTimeout("slow"), True),
        (errors.WaitQueueTimeoutError("busy"), True),
        (errors.NotPrimaryError("stepped down"), True),
        (errors.ExecutionTimeout("slow", 50), True),
        (errors.WTimeoutError("not by a majority in time", 64), True),
        (errors.CursorNotFound("restarted between two pages", 43), True),
        (errors.OperationFailure("shutting down", 91), True),
        (errors.OperationFailure("interrupted", 11_602), True),
        (errors.OperationFailure("snapshot unavailable", 246), True),
        (errors.OperationFailure("new label", 99_999, {"errorLabels": ["RetryableWriteError"]}), True),
        (errors.InvalidOperation("Cannot use MongoClient after close"), True),
        (errors.InvalidOperation("no operations to execute"), False),
        (errors.OperationFailure("not allowed", 13), False),
        (errors.OperationFailure("wrong password", 18), False),
        (errors.OperationFailure("no such operator", 168), False),
        (errors.DuplicateKeyError("twice", 11_000), False),
    ],
)
def test_what_passes_by_itself(error: errors.PyMongoError, passes: bool) -> None:
    assert is_passing(error) is passes


async def start_if_down(server: EmbeddedStore) -> None:
    try:
        assert server.pid
    except RuntimeError:
        await start(server)


async def _in_turn(send: Callable[[range], Awaitable[None]], batches: list[range]) -> None:
    """Three at a time, as three senders would."""
    places = asyncio.Semaphore(3)

    async def one(batch: range) -> None:
        async with places:
            await send(batch)

    await asyncio.gather(*map(one, batches))
