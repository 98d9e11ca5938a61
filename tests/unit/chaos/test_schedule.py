"""Given a seed, when its schedule is drawn, then it is always the same, and asks for nothing that cannot be healed."""

from tests.chaos.schedule import COMBINED, LINK_FAULTS, PROCESS_FAULTS, PROVIDER_FAULTS, SERVER_FAULTS, Schedule, draw

HUNDRED = range(1, 101)


def test_a_seed_is_a_schedule() -> None:
    assert [draw(seed) for seed in HUNDRED] == [draw(seed) for seed in HUNDRED]
    assert len({tuple(draw(seed).lines()) for seed in HUNDRED}) == 100


def test_half_of_the_seeds_run_without_mending() -> None:
    assert sum(draw(seed).mending for seed in HUNDRED) == 50
    assert draw(1, mending=True).mending


def test_a_hundred_seeds_have_every_kind_of_fault_more_than_once() -> None:
    kinds = [event.kind for seed in HUNDRED for event in draw(seed).events]
    expected = {f"{act} {service}" for act in PROCESS_FAULTS for service in ("api", "scheduler", "sender")}
    expected |= {f"{act} link of sender to {server}" for act in LINK_FAULTS for server in ("broker", "store")}
    expected |= {act.replace("kill", "kill sender") for act in COMBINED}
    expected |= {f"{act} {server}" for act in SERVER_FAULTS for server in ("broker", "store")}
    expected |= {f"provider: {name}" for name in PROVIDER_FAULTS}
    expected |= {"pause", "edit text", "edit end", "cancel", "replay", "delete client", "opt out", "delete mailing"}
    expected |= {"purge the send queue", "freeze sender for long"}
    assert {kind for kind in expected if kinds.count(kind) < 2} == set()


def test_without_mending_nothing_happens_that_only_mending_heals() -> None:
    for schedule in (draw(seed, mending=False) for seed in HUNDRED):
        acts = {event.act for event in schedule.events}
        assert "purge" not in acts
        assert not (acts & {"pause", "replay"} and _schedulers_break(schedule)), schedule.lines()


def test_servers_are_broken_only_when_they_are_the_run_s_own() -> None:
    for schedule in map(draw, HUNDRED):
        broken = [event for event in schedule.events if event.target in ("broker", "store")]
        assert schedule.own_servers or not broken


def _schedulers_break(schedule: Schedule) -> bool:
    return any(event.target.startswith(("scheduler", "broker", "store")) for event in schedule.events)
