"""Given mailings that run while things break as a seed says, when all is mended, then every promise has been kept.

Ten seeds; `make chaos` runs a hundred. A failing one is repeated by `python -m tests.chaos --seed N`.
"""

from pathlib import Path

import pytest

from tests.chaos.run import run_schedule
from tests.chaos.schedule import draw
from tests.chaos.servers import Shared, own_servers, part_of

SEEDS = range(1, 11)


@pytest.mark.timeout(420)
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_promises_are_kept(seed: int, shared: Shared, tmp_path: Path) -> None:
    schedule = draw(seed)
    if schedule.own_servers:
        async with own_servers(tmp_path) as servers:
            result = await run_schedule(schedule, servers, tmp_path)
    else:
        with part_of(shared) as servers:
            result = await run_schedule(schedule, servers, tmp_path)
    told = [*schedule.lines(), *map(str, result.problems[:20]), f"python -m tests.chaos --seed {seed}"]
    assert not result.problems, "\n".join(told)
