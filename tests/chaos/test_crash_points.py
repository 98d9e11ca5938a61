"""Given a process that dies or stalls at a named place, when others take over, then every promise has been kept.

Every place by itself, under both policies: an hour's work, so not part of `make test`.
"""

from pathlib import Path

import pytest

from tests.chaos.crash_points import POLICIES
from tests.chaos.crash_runs import run_point
from tests.chaos.points import Point, all_points
from tests.chaos.servers import Shared, part_of


@pytest.mark.timeout(420)
@pytest.mark.parametrize("on_unknown", POLICIES)
@pytest.mark.parametrize("point", all_points(), ids=lambda point: point.full_name)
async def test_the_promises_are_kept(point: Point, on_unknown: str, shared: Shared, tmp_path: Path) -> None:
    with part_of(shared) as servers:
        result = await run_point(point, servers, tmp_path, on_unknown=on_unknown)
    assert not result.problems, "\n".join(map(str, result.problems[:20]))
