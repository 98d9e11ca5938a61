"""Variables: what the environment says, then what deploy/.env says, as compose itself reads them."""

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

DEPLOY = Path(__file__).resolve().parents[1]
ENV_FILE = DEPLOY / ".env"
ENV_EXAMPLE = DEPLOY / ".env.example"

MAX_REPLICAS = 50
SECRET_BYTES = 24
SECRETS = ("RABBITMQ_PASSWORD", "PROVIDER_TOKEN")

_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$")
_ADDRESS_SAFE = re.compile(r"[A-Za-z0-9_-]+")
_DURATION_S = re.compile(r"([0-9]+)s")


class BadVariable(Exception):
    """A variable has a value that cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of one stack.

    Attributes:
        env_file: the file of settings; need not exist.
        environment: the environment of the command.
    """

    env_file: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def value(self, name: str, default: str = "") -> str:
        """A variable's value; an empty one counts as not given."""
        if name in self.environment:
            return self.environment[name] or default
        return _read(self.env_file).get(name, "") or default

    def count(self, name: str) -> int:
        """How many of something are wanted, 1 unless said.

        Raises:
            BadVariable: not an integer from 1 to 50.
        """
        raw = self.value(name, "1")
        if not (raw.isascii() and raw.isdigit() and 1 <= int(raw) <= MAX_REPLICAS):
            raise BadVariable(f"{name} must be a number from 1 to {MAX_REPLICAS}, it is {raw!r}")
        return int(raw)

    def port(self, name: str, default: int) -> int:
        """A port to publish.

        Raises:
            BadVariable: not an integer from 1 to 65535.
        """
        raw = self.value(name, str(default))
        if not (raw.isascii() and raw.isdigit() and 1 <= int(raw) <= 65_535):
            raise BadVariable(f"{name} must be a port from 1 to 65535, it is {raw!r}")
        return int(raw)

    def check(self) -> None:
        """Look at what compose would take and fail on much later.

        Raises:
            BadVariable: one cannot be used.
        """
        for name in SECRETS:
            if not self.value(name):
                raise BadVariable(f"{name} has no value; set it in {self.env_file}")
        for name in ("RABBITMQ_USER", "RABBITMQ_PASSWORD"):
            if not _ADDRESS_SAFE.fullmatch(self.value(name, "mailrun")):
                raise BadVariable(f"{name} stands in an address: letters, digits, '-' and '_' only")
        host = urlsplit(self.value("PROVIDER_URL")).hostname or ""
        if host == "localhost" or host.startswith("127.") or host == "::1":
            raise BadVariable(
                f"PROVIDER_URL names {host}, which inside a container is the container itself; "
                "a provider on this machine is http://host.docker.internal:PORT/v1"
            )
        self._check_stop_grace()

    def _check_stop_grace(self) -> None:
        grace = _DURATION_S.fullmatch(self.value("SENDER_STOP_GRACE", "30s"))
        if grace is None:
            raise BadVariable("SENDER_STOP_GRACE must be whole seconds, as in 30s")
        try:
            stop_s = float(self.value("SENDER_STOP_S", "15"))
        except ValueError as error:
            raise BadVariable("SENDER_STOP_S must be a number of seconds") from error
        if int(grace[1]) < stop_s + 5:
            raise BadVariable(
                f"SENDER_STOP_GRACE={grace[0]} would kill a sender before SENDER_STOP_S={stop_s:g} has passed; "
                f"make it {stop_s + 15:.0f}s"
            )


def write_env_file(path: Path = ENV_FILE) -> bool:
    """Make the file of the example, with random secrets, readable by its owner alone; whether it was not there."""
    lines = []
    for line in ENV_EXAMPLE.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition("=")
        lines.append(f"{name}={secrets.token_hex(SECRET_BYTES)}" if name in SECRETS and not value else line)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    return True


def _read(path: Path) -> dict[str, str]:
    """The assignments of a file in compose's format; no file holds none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    values = {}
    for line in text.splitlines():
        found = _ASSIGNMENT.match(line)
        if found:
            values[found[1]] = _unquote(found[2].strip())
    return values


def _unquote(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()
