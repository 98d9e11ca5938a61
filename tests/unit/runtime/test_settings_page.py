"""The page about the settings says of each one what the code says: default, bounds, who reads it, what it is."""

import re
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo

from shared.runtime.settings import Settings

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "configuration.md"
ENVIRONMENT_EXAMPLE = ROOT / "deploy" / ".env.example"
SERVICES = ("api", "scheduler", "sender")
ROW = re.compile(r"^\| `([A-Z_]+)` \| ?(?:`(.*)`)? \| (.*?) ?\| (.*) \| (.*) \|$", re.MULTILINE)


def bounds(field: FieldInfo) -> str:
    lowest = [f"from {one.ge:,}" for one in field.metadata if isinstance(one, Ge)]
    lowest += [f"above {one.gt:,}" for one in field.metadata if isinstance(one, Gt)]
    highest = [f"to {one.le:,}" for one in field.metadata if isinstance(one, Le)]
    return " ".join(lowest + highest)


def readers(name: str) -> str:
    """The services whose code names a setting; those that only shared code names are read by all."""
    named = re.compile(rf"settings\.(?:{name}|{name.removeprefix('provider_')})\b")
    found = [one for one in SERVICES if any(named.search(path.read_text()) for path in _code_of(one))]
    return "all" if found in ([], list(SERVICES)) else ", ".join(found)


def _code_of(service: str) -> list[Path]:
    return sorted((ROOT / "services" / service).glob("**/*.py"))


def shown_default(field: FieldInfo) -> str:
    return "" if field.default is None else str(field.default)


def test_the_page_says_of_every_setting_what_the_code_says() -> None:
    listed = {name: tuple(rest) for name, *rest in ROW.findall(PAGE.read_text())}
    expected = {
        name.upper(): (shown_default(field), bounds(field), readers(name), field.description)
        for name, field in Settings.model_fields.items()
    }
    assert listed == expected


def test_the_example_of_the_containers_shows_the_defaults() -> None:
    shown = dict(re.findall(r"^#([A-Z_]+)=(.*)$", ENVIRONMENT_EXAMPLE.read_text(), re.MULTILINE))
    settings = {name.upper(): field for name, field in Settings.model_fields.items()}
    for name in shown.keys() & settings.keys() - {"PROVIDER_URL"}:  # an example that is none of ours
        assert parsed(shown[name]) == parsed(shown_default(settings[name])), name


def parsed(value: str) -> Any:
    """A number or a truth value as such, so that 10 and 10.0 are the same."""
    try:
        return float(value)
    except ValueError:
        return value.lower()
