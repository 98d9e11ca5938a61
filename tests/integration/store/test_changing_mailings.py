"""Changes by operators: each counts only if the mailing is still as it was seen, and says when to look at it."""

import asyncio
from dataclasses import replace
from datetime import time
from typing import Any

import pytest
from pymongo.database import Database

from shared.domain.audience import Audience
from shared.domain.mailing import CANCELLED, DRAFT, PAUSED, RUNNING, SCHEDULED, Mailing, MailingStatus
from shared.domain.message import OnUnknown
from shared.domain.window import LocalWindow
from shared.errors import Conflict, NotFound
from shared.store import mailings as mailings_module
from shared.store.mailing_documents import Replay
from shared.store.mailings import MailingFilter
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


async def test_a_mailing_is_read_as_it_was_created(store: Store) -> None:
    for fields in ({}, EDITED, {"start_at": None, "end_at": None}):
        created = await store.mailings.create(make_mailing(**fields), after(1))
        assert created == make_mailing(id=created.id, created_at=after(1), updated_at=after(1), **fields)
        assert await store.mailings.get(created.id) == created


async def test_a_creation_whose_answer_was_lost_is_found_again(store: Store) -> None:
    mailing_id = await store.mailings.reserve_id()
    first = await store.mailings.create(make_mailing(name="first"), after(1), mailing_id=mailing_id)
    again = await store.mailings.create(make_mailing(name="again"), after(9), mailing_id=mailing_id)
    assert again == first
    await store.mailings.delete(mailing_id, after(10))
    with pytest.raises(NotFound):
        await store.mailings.create(make_mailing(), after(11), mailing_id=mailing_id)


async def test_an_edit_of_everything_is_kept_with_what_was_before(store: Store) -> None:
    # Given a draft, all of whose fields are edited
    seen = await store.mailings.create(make_mailing(), after(0))
    edited = await store.mailings.change(seen, after(5), edits=EDITED)
    assert edited == replace(seen, revision=2, updated_at=after(5), **EDITED)
    assert await store.mailings.get(seen.id) == edited

    # When it is edited back
    assert edited is not None
    back = await store.mailings.change(edited, after(6), edits={name: getattr(seen, name) for name in EDITED})

    # Then both revisions are there, as the fields had been
    assert back == replace(seen, revision=3, updated_at=after(6))
    first, second = await store.mailings.revisions(seen.id)
    assert (first["revision"], first["at"]) == (2, after(5))
    assert first["before"] == {
        "name": "spring",
        "text": "Hello",
        "audience": {"operator_codes": [], "tags": [], "everyone": True},
        "start_at": after(10),
        "end_at": after(3_600),
        "local_window": None,
        "rate_per_s": None,
        "on_unknown": "resend",
    }
    assert second["before"]["audience"] == {"operator_codes": ["900", "901"], "tags": ["a.b", "$x"], "everyone": False}
    assert second["before"]["local_window"] == {"start": "22:00", "end": "06:30"}


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"status": "paused"},
        {"revision": 2},
        {"end_at": after(99)},
        {"closed_at": after(1)},
        {"fan_out": None},
        {"deleted_at": after(1)},
    ],
)
async def test_nothing_is_changed_that_is_not_as_it_was_seen(
    store: Store, past: Database[dict[str, Any]], meanwhile: dict[str, Any]
) -> None:
    # Given a mailing that was seen, and one thing of it that changed since
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    seen = await store.mailings.get(1)
    past.mailings.update_one({"_id": 1}, {"$set": meanwhile})
    before = past.mailings.find_one({"_id": 1})

    # When it is changed in any way, then nothing is, and whoever asked has to look again
    mailings = store.mailings
    assert await mailings.change(seen, after(2), status=PAUSED) is None
    assert await mailings.change(seen, after(2), edits={"text": "Bye"}) is None
    assert await mailings.ask_replay(seen, Replay(after(2), (), None, ()), after(2)) is None
    assert await mailings.delete(1, after(2), seen=seen) is False
    assert past.mailings.find_one({"_id": 1}) == before


@pytest.mark.parametrize("closed_at", [None, after(3_600)])
async def test_what_is_closed_can_be_changed_only_by_who_saw_it_closed(
    store: Store, past: Database[dict[str, Any]], closed_at: Any
) -> None:
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING, closed_at=closed_at), fan_out=PLANNED))
    seen = await store.mailings.get(1)
    assert await store.mailings.change(replace(seen, closed_at=None), after(4_000), status=CANCELLED) == (
        None if closed_at else await store.mailings.get(1)
    )
    if closed_at:
        assert await store.mailings.change(seen, after(4_000), status=CANCELLED)


async def test_of_many_who_change_it_at_once_one_does(store: Store) -> None:
    seen = await store.mailings.create(make_mailing(), after(0))
    changes = [store.mailings.change(seen, after(1), edits={"name": str(number)}) for number in range(10)]
    done = [one for one in await asyncio.gather(*changes) if one is not None]
    assert len(done) == 1
    assert (await store.mailings.get(seen.id)).name == done[0].name
    assert len(await store.mailings.revisions(seen.id)) == 1


LOOKS: list[tuple[MailingStatus, bool, dict[str, Any], Any]] = [
    # What it was, whether it had started, the change, and when it is looked at (None: never)
    (DRAFT, False, {"edits": {"start_at": after(50)}}, None),
    (DRAFT, False, {"status": SCHEDULED}, after(10)),
    (DRAFT, False, {"status": SCHEDULED, "times": {"start_at": after(30), "end_at": after(90)}}, after(30)),
    (DRAFT, False, {"status": CANCELLED}, after(5)),
    (SCHEDULED, False, {"edits": {"start_at": after(50)}}, after(50)),
    (SCHEDULED, False, {"edits": {"end_at": after(50)}}, after(10)),
    (SCHEDULED, False, {"status": PAUSED}, after(3_600)),
    (SCHEDULED, False, {"status": CANCELLED}, after(5)),
    (PAUSED, False, {"edits": {"end_at": after(50)}}, after(50)),
    (PAUSED, False, {"edits": {"start_at": after(50)}}, after(3_600)),
    (PAUSED, False, {"status": SCHEDULED}, after(10)),
    (PAUSED, False, {"status": CANCELLED}, after(5)),
    (RUNNING, True, {"edits": {"end_at": after(50)}}, after(5)),
    (RUNNING, True, {"status": PAUSED}, after(5)),
    (RUNNING, True, {"status": CANCELLED}, after(5)),
    (PAUSED, True, {"status": RUNNING}, after(5)),
    (PAUSED, True, {"edits": {"rate_per_s": 9.0}}, after(5)),
]


@pytest.mark.parametrize(("status", "started", "change", "look_at"), LOOKS)
async def test_each_change_says_when_to_look(
    store: Store,
    past: Database[dict[str, Any]],
    status: MailingStatus,
    started: bool,
    change: dict[str, Any],
    look_at: Any,
) -> None:
    mailing = make_mailing(id=1, status=status)
    past.mailings.insert_one(mailing_document(mailing, look_at=None, fan_out=PLANNED if started else None))
    changed = await store.mailings.change(await store.mailings.get(1), after(5), **change)
    assert changed is not None
    assert changed.status == change.get("status", status)
    document = past.mailings.find_one({"_id": 1})
    assert document is not None
    assert document["look_at"] == look_at
    assert (document["start_at"], document["end_at"]) == (changed.start_at, changed.end_at)
    assert changed.revision == (2 if "edits" in change else 1)


async def test_a_launch_fills_in_times_without_a_revision(store: Store) -> None:
    seen = await store.mailings.create(make_mailing(start_at=None, end_at=None), after(0))
    times = {"start_at": after(5), "end_at": after(95)}
    launched = await store.mailings.change(seen, after(5), status=SCHEDULED, times=times)
    assert launched is not None
    assert (launched.start_at, launched.end_at, launched.revision) == (after(5), after(95), 1)
    assert await store.mailings.revisions(seen.id) == []


async def test_why_it_is_paused_is_told_until_it_is_not(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    paused = await store.mailings.change(await store.mailings.get(1), after(1), status=PAUSED, pause_reason="operator")
    assert paused is not None
    assert paused.pause_reason == "operator"
    edited = await store.mailings.change(paused, after(2), edits={"text": "Bye"})
    assert edited is not None
    assert edited.pause_reason == "operator"
    resumed = await store.mailings.change(edited, after(3), status=RUNNING)
    assert resumed is not None
    assert resumed.pause_reason is None


async def test_an_edited_window_is_to_be_taken_into_account(store: Store, past: Database[dict[str, Any]]) -> None:
    past.mailings.insert_one(mailing_document(make_mailing(id=1, status=RUNNING), fan_out=PLANNED))
    edited = await store.mailings.change(await store.mailings.get(1), after(1), edits={"text": "Bye"})
    assert edited is not None
    assert past.mailings.find_one({"window_changed": True}) is None
    await store.mailings.change(edited, after(2), edits={"local_window": EDITED["local_window"]})
    assert past.mailings.find_one({"window_changed": True}) is not None


async def test_the_history_does_not_outgrow_its_document(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailings_module, "MAX_REVISIONS_BYTES", 1_000)
    mailing: Mailing | None = await store.mailings.create(make_mailing(), after(0))
    edits = 0
    with pytest.raises(Conflict) as refused:
        while mailing is not None:
            mailing = await store.mailings.change(mailing, after(edits), edits={"text": "x" * 300})
            edits += 1
    assert refused.value.code == "too_many_revisions"
    assert 1 < edits < 10
    current = (await store.mailings.page(MailingFilter(), before_id=None, limit=1))[0]
    # And what makes no revision can still be changed
    assert await store.mailings.change(current, after(99), status=CANCELLED)
