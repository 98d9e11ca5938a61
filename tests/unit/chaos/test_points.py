"""Given the crash points and the mistakes, when the product changes, then a name that is gone is noticed at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.mistakes import MISTAKES
from tests.chaos.planting import place_of
from tests.chaos.points import Point, all_points

ROOT = Path(__file__).parents[3]
ROWS = 6  # of the table in ARCHITECTURE.md; the seventh, a broker that loses everything, is not of a process


@pytest.mark.parametrize("point", all_points(), ids=lambda point: point.full_name)
def test_the_place_of_a_crash_point_exists(point: Point) -> None:
    place_of(point.place)
    if point.inside:
        place_of(point.inside)


def test_every_point_is_named_once_and_every_row_of_the_table_has_one() -> None:
    points = all_points()
    assert len({point.full_name for point in points}) == len(points)
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("## Where a process can die")[2]
    rows = {point.row for point in points} - {""}
    assert {row for row in rows if f"| {row} |" not in table} == set()
    assert len(rows) >= ROWS


def test_a_place_that_is_gone_is_an_error() -> None:
    with pytest.raises(AttributeError):
        place_of("services.sender.judge:Judge.no_such_method")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_can_be_planted(name: str) -> None:
    service = MISTAKES[name][0]
    code = f"from tests.chaos.mistakes import plant_mistake; plant_mistake({name!r}, {service!r})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=dict(os.environ))
