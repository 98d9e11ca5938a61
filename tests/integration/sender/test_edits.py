"""Given three senders at work, when a mailing is edited, then each message has the text of the revision it names."""

from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from shared.domain.mailing import Mailing
from tests.integration.sender.planting import Planting, now
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_entries, set_faults

MESSAGES = 900
LATENCY_S = 0.2  # 24 calls at once: 120 a second at most, so that there is time to edit
EDITS = 3
LEAST_SENT = 30


def text_of(revision: int) -> str:
    return f"{{{{edition}}}} {revision} for {{name|nobody}}"


def read_of(revision: int) -> str:
    return f"{{edition}} {revision} for Ann"


async def sent_from(world: Planting, mailing_id: int, revision: int) -> bool:
    query = {"mailing_id": mailing_id, "status": "sent", "revision": revision}
    return bool(await world.documents["messages"].count_documents(query) >= LEAST_SENT)


async def edit(world: Planting, mailing_id: int, revision: int) -> Mailing:
    """As the API does it."""
    seen = await world.store.mailings.get(mailing_id)
    edited = await world.store.mailings.change(seen, now(), edits={"text": text_of(revision)})
    assert edited is not None and edited.revision == revision
    return edited


async def test_each_message_has_the_text_of_the_revision_that_it_names(
    world: Planting, senders: Senders, control: aiohttp.ClientSession
) -> None:
    # Given a running mailing of which the commands are there, and three senders
    mailing_id = await world.mailing(text=text_of(1))
    client_ids = await world.clients(MESSAGES, attributes={"name": "Ann"})
    await world.commands(await world.messages(mailing_id, client_ids), mailing_id)
    await set_faults(control, latency_s=LATENCY_S)
    edited_at: dict[int, Any] = {}
    async with AsyncExitStack() as at_work:
        for _ in range(3):
            await at_work.enter_async_context(senders.one(concurrency=8))

        # When it is edited as soon as some messages were sent from each revision
        for revision in range(2, EDITS + 2):
            await eventually(lambda of=revision - 1: sent_from(world, mailing_id, of), f"revision {revision - 1} sent")  # type: ignore[misc]
            edited = await edit(world, mailing_id, revision)
            edited_at[revision] = edited.updated_at
        await eventually(lambda: sent_from(world, mailing_id, EDITS + 1), "the last revision sent")
        await set_faults(control)

        async def all_sent() -> bool:
            return await world.statuses(mailing_id) == {"sent": MESSAGES}

        await eventually(all_sent, "all are sent")

    # Then the provider got each message last with the text of the revision that it names
    calls = await read_entries(control, "?limit=10000")
    last = {call["message_id"]: call["text"] for call in calls}
    found = [one async for one in world.documents["messages"].find({"mailing_id": mailing_id})]
    assert [one["_id"] for one in found if last[one["_id"]] != read_of(one["revision"])] == []
    assert len(calls) == sum(one["attempt"] for one in found)

    # And no edit reached what was sent before it
    for revision, at in edited_at.items():
        earlier = [one for one in found if one["sent_at"] < at]
        assert earlier and all(one["revision"] < revision for one in earlier)

    # And the history counts them
    sent = await world.store.statistics.sent_by_revision(mailing_id)
    assert sum(sent.values()) == MESSAGES
    assert set(sent) == set(range(1, EDITS + 2))
