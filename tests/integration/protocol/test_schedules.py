"""Seven stories: the promises hold in each, and do not with the mistake that it is about."""

import pytest

from tests.integration.protocol.bench import Bench
from tests.integration.protocol.healing import heal
from tests.integration.protocol.mistakes import MISTAKES, Plant
from tests.integration.protocol.schedules import SCHEDULES, Schedule


def play(bench: Bench, schedule: Schedule, plant: Plant) -> list[str]:
    """What was broken, at the end of the story or after it."""
    world = bench.world(schedule.conditions, plant)

    async def played() -> None:
        await world.begin()
        await schedule.play(world)
        if not world.promises.broken:
            await heal(world)

    try:
        bench.run(played())
    finally:
        bench.run(bench.end_tasks())
    return [*world.promises.broken, *bench.contained]


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_product_keeps_its_promises(worlds: Bench, name: str) -> None:
    assert play(worlds, SCHEDULES[name], lambda _: None) == []


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_mistake_breaks_one(worlds: Bench, name: str) -> None:
    with MISTAKES[name]() as plant:
        broken = play(worlds, SCHEDULES[name], plant)
    assert broken


def test_every_mistake_has_its_story() -> None:
    assert set(SCHEDULES) == set(MISTAKES)
