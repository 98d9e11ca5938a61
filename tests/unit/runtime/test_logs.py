"""Log lines: JSON whatever is in them, one line each, and as fast as they can be."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PREPARE = """
import structlog
from shared.runtime.logs import configure_logs
configure_logs("tried", level="INFO", log_format={!r})
log = structlog.get_logger()
"""


def said(code: str, log_format: str = "json") -> str:
    """What a process of its own writes on standard error."""
    program = PREPARE.format(log_format) + code
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    return done.stderr.decode("utf-8")


def lines(code: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said(code).splitlines()]


def test_line_says_what_when_and_who() -> None:
    (line,) = lines("log.info('message.attempted', message_id=7, phone='7900***0000')")
    assert line["at"].endswith("Z")
    del line["at"]
    assert line == {
        "event": "message.attempted",
        "level": "info",
        "service": "tried",
        "message_id": 7,
        "phone": "7900***0000",
    }


@pytest.mark.parametrize(
    ("value", "read_back"),
    [
        ("'half of a pair: \\ud83d'", "half of a pair: \ud83d"),
        ("2**70", 2**70),
        ("'two\\nlines, and \\x00'", "two\nlines, and \x00"),
        ("frozenset({1})", "frozenset({1})"),
        ("{1: 'a key that is no text'}", {"1": "a key that is no text"}),
        ("ValueError('why')", "ValueError('why')"),
        ("b'bytes'", "b'bytes'"),
    ],
)
def test_nothing_in_a_line_costs_it(value: str, read_back: object) -> None:
    (line,) = lines(f"log.info('odd', value={value})")
    assert line["value"] == read_back


def test_traceback_is_in_its_line() -> None:
    (line,) = lines("try:\n    1 / 0\nexcept Exception:\n    log.exception('failed')")
    assert line["level"] == "error"
    assert "ZeroDivisionError" in line["exception"]


def test_what_libraries_log_is_json_too() -> None:
    (line,) = lines("import logging; logging.getLogger('library').warning('odd: %s', 'text')")
    assert line["event"] == "odd: text"
    assert line["level"] == "warning"


def test_for_people_it_is_text() -> None:
    text = said("log.info('message.attempted', message_id=7)", "console")
    assert "message.attempted" in text
    assert "message_id=7" in text
    assert not text.startswith("{")


def test_a_disk_that_is_full_costs_lines_and_nothing_else() -> None:
    program = PREPARE.format("json") + "\nfor n in range(1_000): log.info('message.attempted', n=n)\nprint('went on')"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert done.stdout == b"went on\n"
