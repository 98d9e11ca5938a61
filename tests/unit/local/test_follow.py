"""Following logs: whole lines, under their process's name, from now on, over a rotation."""

import io
from collections.abc import Callable
from pathlib import Path

from deploy.local.follow import LogFollower


def followed(log: Path, write: Callable[[], object]) -> list[str]:
    """The lines printed for what is written while the log is followed."""
    out = io.StringIO()
    follower = LogFollower({"api": log, "sender-1": log.with_name("never")}, out)
    follower.start()
    write()
    follower.stop()
    return out.getvalue().splitlines()


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_only_what_is_added_is_printed_under_the_name(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    append(log, "yesterday\n")
    assert followed(log, lambda: append(log, "one\ntwo\n")) == ["api      | one", "api      | two"]


def test_a_log_that_appears_later_is_printed_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    assert followed(log, lambda: append(log, "first\n")) == ["api      | first"]


def test_a_rotation_loses_no_line(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    append(log, "yesterday\n")

    def rotate() -> None:
        append(log, "before\n")
        log.rename(tmp_path / "api.log.1")
        append(log, "after\n")

    assert followed(log, rotate) == ["api      | before", "api      | after"]


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    assert followed(log, lambda: log.write_bytes(b"\xff\xfe\nnext\n"))[-1] == "api      | next"
