"""What the services log at level warning or above is on the page that says what to do about it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reliability.md"
LEVELS = {"warning", "error", "exception", "critical"}


def logged(folder: str) -> Iterator[str]:
    for path in (ROOT / folder).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=str(event)), *_]
                ) if level in LEVELS:
                    yield event


def test_every_alarm_of_the_code_is_on_the_page() -> None:
    alarms = PAGE.read_text().partition("## On each alarm")[2]
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", alarms))
    in_code = {
        *logged("shared"),
        *(event for one in ("api", "scheduler", "sender") for event in logged(f"services/{one}")),
    }
    assert len(in_code) > 20
    assert in_code - named == set()
