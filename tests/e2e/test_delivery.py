"""Given clients and a mailing, when its time comes, then each matching client gets one message and nobody else does."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.e2e.agreement import accepted_phones, assert_agreement
from tests.e2e.system import System, from_now, instant


async def test_a_mailing_inside_its_time_starts_at_once(system: System) -> None:
    audience = await system.make_audience(60, attributes={"name": "Anna"})
    text = f"{{name}}, {{unknown|friend}}: {{{{{audience.tag}}}}}"
    mailing = await system.make_mailing(audience, text=text)
    await system.until(mailing, "completed", sent=60)
    rendered = f"Anna, friend: {{{audience.tag}}}"
    calls = await assert_agreement(system, mailing, audience, rendered)
    assert accepted_phones(calls) == Counter(audience.phones)
    assert {call["text"] for call in calls} == {rendered}


async def test_a_mailing_in_the_future_starts_by_itself(
    system: System, record_property: Callable[[str, object], None]
) -> None:
    audience = await system.make_audience(10)
    mailing = await system.make_mailing(audience, start_at=from_now(seconds=3))
    assert mailing["status"] == "scheduled"
    await system.until(mailing, "completed", sent=10)
    calls = await assert_agreement(system, mailing, audience)
    delay = instant(calls[0]["arrived_at"]) - instant(mailing["start_at"])
    record_property("start_delay_ms", round(delay / timedelta(milliseconds=1)))
    print(f"first call {delay / timedelta(milliseconds=1):.0f} ms after start_at")
    assert timedelta(0) <= delay < timedelta(seconds=5)


async def test_a_filter_by_operator_code_and_tag_hits_exactly_its_clients(system: System) -> None:
    wanted = await system.make_audience(7, operator_code="911")
    for code, tag in (("911", "other"), ("912", wanted.tag), ("913", "other")):
        await system.make_client(tag, operator_code=code)
    opted_out = await system.make_client(wanted.tag, operator_code="911")
    await system.ask("PATCH", f"/clients/{opted_out['id']}", {"opted_out_at": from_now()})
    mailing = await system.make_mailing({"operator_codes": ["911", "999"], "tags": [wanted.tag, "nobody"]})
    statistics = await system.until(mailing, "completed", sent=7)
    calls = await assert_agreement(system, mailing, wanted)
    assert accepted_phones(calls) == Counter(wanted.phones)
    assert set(statistics["by_operator_code"]) == {"911"}


async def test_an_audience_of_nobody_completes(system: System) -> None:
    mailing = await system.make_mailing({"tags": ["a tag that no client has"]})
    statistics = await system.until(mailing, "completed")
    assert statistics["audience_size"] == 0


async def test_a_mailing_whose_end_passes_while_it_runs(system: System) -> None:
    audience = await system.make_audience(400)
    mailing = await system.make_mailing(audience, text=f"slow {audience.tag}", start_at=from_now(seconds=30))
    await system.set_faults({"kind": "slow", "delay_s": 0.7, "for_texts": [mailing["text"]]})
    start = {"start_at": from_now(), "end_at": from_now(seconds=3)}
    mailing = await system.ask("PATCH", f"/mailings/{mailing['id']}", start)
    statistics = await system.until(mailing, "completed")
    calls = await assert_agreement(system, mailing, audience)
    counts = statistics["counts"]
    assert counts["sent"] > 0
    assert counts["expired"] > 0
    assert counts["sent"] + counts["expired"] == 400
    assert len(calls) == counts["sent"]


async def test_the_rate_of_a_mailing_is_kept(system: System) -> None:
    audience = await system.make_audience(60)
    mailing = await system.make_mailing(audience, rate_per_s=20, end_at=from_now(minutes=5))
    await system.until(mailing, "completed", sent=60)
    calls = await assert_agreement(system, mailing, audience)
    took = instant(calls[-1]["arrived_at"]) - instant(calls[0]["arrived_at"])
    assert took >= timedelta(seconds=60 / 20 - 1)  # the last second's chunk may go out as one


async def test_a_client_outside_the_window_waits_and_is_served_when_it_opens(system: System) -> None:
    inside = await system.make_audience(1, timezone="Etc/GMT-1")  # an hour ahead of UTC
    outside = await system.make_client(inside.tag, timezone="UTC")
    opens_at = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    if opens_at - datetime.now(UTC) < timedelta(seconds=5):
        opens_at += timedelta(minutes=1)
    window = {"start": f"{opens_at:%H:%M}", "end": f"{opens_at + timedelta(hours=2):%H:%M}"}
    mailing = await system.make_mailing(inside, local_window=window)
    await system.until(mailing, "running", waiting=1, sent=1)
    waiting = (await system.ask("GET", f"/clients/{outside['id']}/messages"))["items"]
    assert [(one["status"], instant(one["due_at"])) for one in waiting] == [("waiting", opens_at)]
    await system.until(mailing, "completed", sent=2, within_s=150)
    calls = await system.calls([mailing["text"]])
    served_at = {str(call["phone"]): instant(call["arrived_at"]) for call in calls}
    assert served_at[inside.phones[0]] < opens_at <= served_at[outside["phone"]]


async def test_one_request_id_leads_through_the_logs_of_all_services(system: System) -> None:
    audience = await system.make_audience(3)
    body = {"text": f"text of {audience.tag}", "audience": {"tags": [audience.tag]}}
    request_id = f"request-of-{audience.tag}"
    answer = await system.api.post("/api/v1/mailings", json=body, headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == request_id
    mailing = answer.json()
    await system.until(mailing, "completed", sent=3)
    events: dict[str, set[str]] = {}
    for process in system.processes.values():
        for line in process.log.read_text().splitlines():
            if request_id in line:
                entry = json.loads(line)
                events.setdefault(entry["service"], set()).add(entry["event"])
    assert "mailing.created" in events["api"]
    assert {"chunk.done", "mailing.completed"} <= events["scheduler"]
    assert "message.attempted" in events["sender"]
