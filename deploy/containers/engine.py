"""The Docker engine, and the compose command that speaks to it."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ASK_LIMIT_S = 30.0
"""Longest wait for an answer that needs no work, seconds."""

LINES_SHOWN = 30
"""Lines kept of what a failed command said."""


class EngineMissing(Exception):
    """There is no Docker engine to be reached, or no compose; the message says which and what to do."""


class CommandFailed(Exception):
    """A docker or compose command failed or took too long; the message holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answers.

    Attributes:
        version: of the engine.
        compose: the compose command, as the beginning of an argument list.
    """

    version: str
    compose: tuple[str, ...]


def find_engine() -> Engine:
    """The engine, and `docker compose` or `docker-compose`, whichever is there, in this order.

    Raises:
        EngineMissing: no docker command, no engine that answers, or no compose.
    """
    if shutil.which("docker") is None:
        raise EngineMissing("there is no docker command here; install Docker: https://docs.docker.com/engine/install/")
    try:
        version = run(["docker", "version", "--format", "{{.Server.Version}}"], limit_s=ASK_LIMIT_S).strip()
    except CommandFailed as error:
        raise EngineMissing(f"the Docker engine does not answer: {error}") from error
    for compose in (("docker", "compose"), ("docker-compose",)):
        try:
            run([*compose, "version"], limit_s=ASK_LIMIT_S)
        except CommandFailed:
            continue
        return Engine(version, compose)
    raise EngineMissing(
        "there is a Docker engine, but neither `docker compose` nor `docker-compose`; "
        "install one: https://docs.docker.com/compose/install/"
    )


def run(
    command: Sequence[str], *, limit_s: float, environment: Mapping[str, str] | None = None, both_streams: bool = False
) -> str:
    """Run a command to its end; what it wrote to its standard output.

    It runs in a session of its own: Ctrl-C reaches us alone, so that what we clean up is not interrupted, too.

    Args:
        limit_s: longest wait, seconds; then the command is killed.
        environment: in place of the inherited one.
        both_streams: take in what it wrote to its standard error, too.

    Raises:
        CommandFailed: it ended with another status than 0, took too long, or is not there.
    """
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both_streams else subprocess.PIPE,
            env=environment,
            timeout=limit_s,
            text=True,
            errors="replace",
            start_new_session=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no command {command[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{' '.join(command[:3])} ...` took longer than {limit_s:g} s") from error
    if done.returncode:
        said = (done.stderr or "").strip() or done.stdout.strip() or "it said nothing"
        raise CommandFailed("\n".join(said.splitlines()[-LINES_SHOWN:]))
    return done.stdout
