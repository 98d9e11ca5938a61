"""Given a mailing under way, when an operator pauses, edits or cancels it, then only what was unsent is touched."""

from typing import Any

from tests.e2e.agreement import assert_agreement
from tests.e2e.system import Audience, System
from tests.support.eventually import eventually


async def under_way(system: System, count: int) -> tuple[Audience, dict[str, Any]]:
    """A mailing of which some messages are sent and most are not."""
    audience = await system.make_audience(count)
    await system.set_faults(latency_s=0.3)
    mailing = await system.make_mailing(audience)
    await system.until(mailing, "running", sent=20)
    return audience, mailing


async def until_still(system: System, mailing: dict[str, Any]) -> dict[str, Any]:
    """Wait until no message is on its way; the statistics then."""

    async def still() -> dict[str, Any] | None:
        statistics = await system.statistics(mailing["id"])
        counts = statistics["counts"]
        return statistics if counts["queued"] == counts["sending"] == 0 else None

    statistics = await eventually(still, "nothing on its way")
    assert statistics is not None
    return statistics


async def test_pause_keeps_what_is_unsent_and_resume_sends_it(system: System) -> None:
    audience, mailing = await under_way(system, 700)
    paused = await system.ask("POST", f"/mailings/{mailing['id']}/pause")
    assert paused["status"] == "paused"
    statistics = await until_still(system, mailing)
    counts = statistics["counts"]
    assert 0 < counts["sent"] < 700
    calls_paused = len(await system.calls([mailing["text"]]))
    assert calls_paused == counts["sent"]
    again = await system.ask("POST", f"/mailings/{mailing['id']}/pause")
    assert again["status"] == "paused"
    assert len(await system.calls([mailing["text"]])) == calls_paused
    await system.ask("POST", f"/mailings/{mailing['id']}/resume")
    await system.until(mailing, "completed", sent=700)
    assert len(await assert_agreement(system, mailing, audience)) == 700


async def test_cancel_ends_what_is_unsent(system: System) -> None:
    audience, mailing = await under_way(system, 700)
    cancelled = await system.ask("POST", f"/mailings/{mailing['id']}/cancel")
    assert cancelled["status"] == "cancelled"
    statistics = await until_still(system, mailing)
    planned = Audience(audience.tag, (), tuple(one["client_id"] for one in await system.messages(mailing["id"])))
    assert set(planned.client_ids) <= set(audience.client_ids)
    await system.until(mailing, "cancelled", cancelled=1, sent=statistics["counts"]["sent"])
    messages = await system.messages(mailing["id"])
    assert {one["status"] for one in messages} == {"sent", "cancelled"}
    calls = await system.calls([mailing["text"]])
    assert len(calls) == sum(one["status"] == "sent" for one in messages)


async def test_an_edit_of_the_text_reaches_only_what_was_unsent(system: System) -> None:
    audience, mailing = await under_way(system, 700)
    edited = await system.ask("PATCH", f"/mailings/{mailing['id']}", {"text": f"new {mailing['text']}"})
    assert edited["revision"] == 2
    await system.until(mailing, "completed", sent=700)
    calls = await assert_agreement(system, edited, audience, mailing["text"])
    assert len(calls) == 700
    text = {call["message_id"]: call["text"] for call in calls}
    revisions = {1: mailing["text"], 2: edited["text"]}
    messages = await system.messages(mailing["id"])
    assert {one["revision"] for one in messages} == {1, 2}
    for one in messages:
        assert text[one["id"]] == revisions[one["revision"]]


async def test_a_client_who_opts_out_or_is_deleted_gets_nothing_more(system: System) -> None:
    audience, mailing = await under_way(system, 700)
    await system.ask("POST", f"/mailings/{mailing['id']}/pause")
    await until_still(system, mailing)
    unsent = [one for one in await system.messages(mailing["id"]) if one["status"] == "waiting"]
    await system.ask("PATCH", f"/clients/{unsent[0]['client_id']}", {"opted_out_at": "2026-01-01T00:00:00Z"})
    await system.ask("DELETE", f"/clients/{unsent[1]['client_id']}", expect=204)
    await system.ask("POST", f"/mailings/{mailing['id']}/resume")
    await system.until(mailing, "completed", sent=698, cancelled=2)
    calls = await assert_agreement(system, mailing, audience)
    called = {call["message_id"] for call in calls}
    assert called.isdisjoint({unsent[0]["id"], unsent[1]["id"]})


async def test_deleting_hides_a_mailing_at_once_and_then_removes_it(system: System) -> None:
    _, mailing = await under_way(system, 300)
    await system.ask("DELETE", f"/mailings/{mailing['id']}", expect=204)
    await system.ask("GET", f"/mailings/{mailing['id']}", expect=404)
    message_id = (await system.calls([mailing["text"]]))[0]["message_id"]

    async def gone() -> bool:
        answer = await system.api.get(f"/api/v1/messages/{message_id}")
        return answer.status_code == 404

    await eventually(gone, "the messages of a deleted mailing removed")
