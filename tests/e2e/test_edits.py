"""Given a mailing that runs over three senders, when its text is edited, then each message has that which it names."""

import secrets
from collections import Counter
from datetime import timedelta
from typing import Any

from services.sender.task import START_LIMIT_S
from tests.e2e.agreement import assert_agreement
from tests.e2e.system import System, instant
from tests.support.eventually import eventually

AUDIENCE = 4_000
LATENCY_S = 0.4  # 48 calls at once: 120 a second at most, so that there is time to edit
EDITS = 4
LEAST_SENT = 50  # from each revision, before the next edit


def template(key: str, revision: int) -> tuple[str, str]:
    """The text of a revision, and what a client reads who has no attributes."""
    beginning = f"{key} edited {revision - 1} times"
    return beginning + ", {{dear}} {name|nobody}", beginning + ", {dear} nobody"


async def revisions(system: System, mailing: dict[str, Any]) -> list[dict[str, Any]]:
    return list((await system.ask("GET", f"/mailings/{mailing['id']}/revisions?limit=500"))["items"])


async def test_every_message_has_the_text_of_the_revision_that_it_names(system: System) -> None:
    # Given a running mailing
    audience = system.make_large_audience(AUDIENCE)
    await system.set_faults(latency_s=LATENCY_S)
    key = f"text {secrets.token_hex(6)}"
    texts = {revision: template(key, revision) for revision in range(1, EDITS + 2)}
    mailing = await system.make_mailing(audience, text=texts[1][0])

    async def sent_from(revision: int) -> bool:
        return (await revisions(system, mailing))[revision - 1]["sent"] >= LEAST_SENT

    # When it is edited as soon as some messages were sent from each revision
    answered: dict[int, Any] = {}
    for revision in range(2, EDITS + 2):
        await eventually(lambda of=revision - 1: sent_from(of), f"some sent from revision {revision - 1}")
        edited = await system.ask("PATCH", f"/mailings/{mailing['id']}", {"text": texts[revision][0]})
        assert edited["revision"] == revision
        answered[revision] = instant(edited["updated_at"])
    await eventually(lambda: sent_from(EDITS + 1), "some sent from the last revision")
    await system.set_faults()
    await system.until(mailing, "completed", sent=AUDIENCE, within_s=120)

    # Then what the provider got last of each message is the text of the revision that the message names
    read = {revision: as_read for revision, (_, as_read) in texts.items()}
    calls = await assert_agreement(system, {**mailing, "text": read[1]}, audience, *read.values())
    last = {call["message_id"]: call["text"] for call in calls}
    messages = await system.messages(mailing["id"])
    wrong = [one for one in messages if last[one["id"]] != read[one["revision"]]]
    assert wrong == []
    times = Counter(call["message_id"] for call in calls)
    assert all(times[one["id"]] == 1 for one in messages if one["attempt"] == 1)

    # And no edit reached what was sent before it, nor left out what was claimed after it
    for revision, edited_at in answered.items():
        earlier = [one for one in messages if instant(one["sent_at"]) < edited_at]
        assert earlier and all(one["revision"] < revision for one in earlier)
        limit = edited_at + timedelta(seconds=START_LIMIT_S)
        assert all(instant(one["sent_at"]) < limit for one in messages if one["revision"] < revision)

    # And the history names what was edited, when, and how many messages were sent from it
    history = await revisions(system, mailing)
    sent = Counter(one["revision"] for one in messages)
    assert [one["revision"] for one in history] == list(texts)
    assert {one["revision"]: one["sent"] for one in history} == dict(sent)
    for one in history[1:]:
        before, after = texts[one["revision"] - 1][0], texts[one["revision"]][0]
        assert one["edits"] == [{"field": "text", "before": before, "after": after}]
        assert instant(one["at"]) == answered[one["revision"]]
