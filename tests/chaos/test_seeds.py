"""Given mailings that run while things break as a seed says, when all is mended, then every promise has been kept.

Ten seeds; `make chaos` runs a hundred. A failing one is repeated by `python -m tests.chaos --seed N`. A run waits most
of its time (for claims to outlive, for retries), so the next one is begun while a test still waits for its own.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.run import Result, run_schedule
from tests.chaos.schedule import draw
from tests.chaos.servers import Shared, own_servers, part_of

SEEDS = range(1, 11)
AT_ONCE = 2


class Runs:
    """The runs of the seeds, each begun once."""

    def __init__(self, shared: Shared, folder: Path) -> None:
        self._shared = shared
        self._folder = folder
        self._runs: dict[int, asyncio.Task[Result]] = {}

    def of(self, seed: int) -> "asyncio.Task[Result]":
        """The run of a seed; those after it are begun, too, as many as run at once."""
        for one in range(seed, min(seed + AT_ONCE, SEEDS.stop)):
            if one not in self._runs:
                self._runs[one] = asyncio.create_task(self._run(one))
        return self._runs[seed]

    async def _run(self, seed: int) -> Result:
        schedule = draw(seed)
        folder = self._folder / f"seed-{seed}"
        await asyncio.to_thread(folder.mkdir)
        if schedule.own_servers:
            async with own_servers(folder) as servers:
                return await run_schedule(schedule, servers, folder)
        with part_of(self._shared) as servers:
            return await run_schedule(schedule, servers, folder)

    async def give_up(self) -> None:
        for run in self._runs.values():
            run.cancel()
        await asyncio.gather(*self._runs.values(), return_exceptions=True)


@pytest.fixture(scope="module")
async def runs(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runs]:
    runs = Runs(shared, tmp_path_factory.mktemp("seeds"))
    yield runs
    await runs.give_up()


@pytest.mark.timeout(420)
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_promises_are_kept(seed: int, runs: Runs) -> None:
    result = await runs.of(seed)
    told = [*draw(seed).lines(), *map(str, result.problems[:20]), f"python -m tests.chaos --seed {seed}"]
    assert not result.problems, "\n".join(told)
