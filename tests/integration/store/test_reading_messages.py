"""Messages as readers see them: pages, groups of dead letters, what is open and what is due."""

import random
from typing import Any

from pymongo.database import Database

from shared.domain.message import DEAD, MessageStatus
from shared.store.store import Store
from tests.integration.store.making import (
    after,
    message_document,
)

TAGS = ["a.b", "$x", "$$ROOT", "", "вип 🎈", "a", "_id"]


async def test_dead_letters_are_grouped_page_by_page(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given dead messages of three mailings for odd reasons
    chance = random.Random(11)
    messages = []
    for number in range(200):
        status = chance.choice([MessageStatus.FAILED, MessageStatus.UNKNOWN, MessageStatus.SENT])
        reason = chance.choice([None, "refused", "$why", "a.b", "ünicode"])
        updated_at = after(chance.randrange(1_000))
        mailing_id = chance.choice([1, 2, 3])
        fields = {"reason": reason, "mailing_id": mailing_id, "updated_at": updated_at}
        messages.append(message_document(number, status, **fields))
    past.messages.insert_many(messages)

    # When they are read two groups at a time, of two of the mailings
    groups: list[Any] = []
    position: tuple[int, str] | None = None
    while page := await store.messages.dead_letter_groups(after=position, limit=2, mailing_ids=[1, 3]):
        groups += page
        position = (page[-1].mailing_id, page[-1].reason or "")

    # Then each group comes once, with what a count by hand gives
    by_hand: dict[tuple[int, str], list[Any]] = {}
    for one in messages:
        if one["status"] in DEAD and one["mailing_id"] != 2:
            by_hand.setdefault((one["mailing_id"], one["reason"] or ""), []).append(one["updated_at"])
    assert [(one.mailing_id, one.reason or "") for one in groups] == sorted(by_hand)
    for one in groups:
        moments = by_hand[one.mailing_id, one.reason or ""]
        assert (one.count, one.oldest, one.newest) == (len(moments), min(moments), max(moments))
    assert await store.messages.dead_letter_groups(after=None, limit=2, mailing_ids=[]) == []


async def test_what_is_open_and_due(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given messages that are due at different moments
    for number, status in enumerate(MessageStatus):
        past.messages.insert_one(message_document(number, status, due_at=after(100 - number)))
    waiting, queued, sending, retrying = list(MessageStatus)[:4]

    # Then those of the statuses asked for are told, the earliest of each status first, and when the next will be
    due = await store.messages.due(1, statuses={waiting, sending}, now=after(98), limit=10)
    assert [one.status for one in due] == [sending]
    due = await store.messages.due(1, statuses={waiting, sending, retrying, queued}, now=after(100), limit=3)
    assert len(due) == 3
    assert await store.messages.next_due_at(1, {waiting, sending}) == after(98)
    assert await store.messages.next_due_at(2, {waiting}) is None
    assert {one.status for one in await store.messages.unsent(1, limit=10)} == {waiting, queued, retrying}
    assert await store.messages.has_open(1)
    assert not await store.messages.has_open(2)
    past.messages.delete_many({"status": {"$in": ["waiting", "queued", "retrying"]}})
    assert await store.messages.has_open(1)
    past.messages.delete_many({"status": "sending"})
    assert not await store.messages.has_open(1)

    # And what is put off is due later, unless it has changed its status since
    past.messages.delete_many({})
    past.messages.insert_many(message_document(number, queued, due_at=after(0)) for number in range(4))
    standings = await store.messages.due(1, statuses={queued}, now=after(1), limit=10)
    past.messages.update_one({"_id": 3}, {"$set": {"status": "sent", "due_at": None}})
    await store.message_statuses.put_off(standings, due_at=after(50))
    assert await store.messages.due(1, statuses={queued}, now=after(49), limit=10) == []
    assert len(await store.messages.due(1, statuses={queued}, now=after(50), limit=10)) == 3
    sent = await store.messages.get(3)
    assert sent.due_at is None
    assert sent.updated_at == after(0)


async def test_pages_of_messages(store: Store, past: Database[dict[str, Any]]) -> None:
    # Given a mailing to eight clients, and three more to one of them
    for number in range(1, 9):
        status = MessageStatus.SENT if number % 2 else MessageStatus.FAILED
        past.messages.insert_one(message_document(number, status, client_id=number + 50))
    for number in (11, 12, 13):
        past.messages.insert_one(message_document(number, MessageStatus.SENT, mailing_id=number, client_id=54))

    async def page(**narrowed: Any) -> list[int]:
        asked = {"statuses": (), "client_id": None, "after_id": 0, "limit": 100} | narrowed
        return [one.id for one in await store.messages.page_of_mailing(1, **asked)]

    # Then pages hold what they are narrowed to, in the order of the ids
    assert await page() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert await page(after_id=3, limit=2) == [4, 5]
    assert await page(statuses=(MessageStatus.FAILED,)) == [2, 4, 6, 8]
    assert await page(client_id=54) == [4]
    assert await page(statuses=(MessageStatus.SENT,), client_id=54) == []
    assert [one.id for one in await store.messages.page_of_client(54, after_id=0, limit=2)] == [4, 11]
    assert [one.id for one in await store.messages.page_of_client(54, after_id=11, limit=10)] == [12, 13]
