"""`python -m deploy.containers`: Mailrun in containers, as a command."""

import argparse
import os
import signal
import sys

from deploy.containers import smoke, suite
from deploy.containers.engine import CommandFailed, EngineMissing, find_engine
from deploy.containers.health import NotHealthy
from deploy.containers.images import ImageMissing
from deploy.containers.smoke import NothingToTry
from deploy.containers.stack import Stack
from deploy.containers.up import bring_up
from deploy.containers.variables import ENV_FILE, BadVariable, Variables
from deploy.local.ports import PortTaken

INTERRUPTED_STATUS = 130


def main() -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.containers", description="Mailrun in containers.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="build, start, wait until healthy")
    commands.add_parser("down", help="remove containers and networks; with VOLUMES=1 the volumes, too")
    commands.add_parser("logs", help="follow the logs")
    commands.add_parser("smoke", help="a mailing through the running containers, compared with the ledger")
    commands.add_parser("test", help="the tests over a stack of their own, where there is an engine")
    command = parser.parse_args().command
    # A stop asked for from outside unwinds like Ctrl-C, so that what was started is taken down.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return {"up": _up, "down": _down, "logs": _logs, "smoke": smoke.run_trial, "test": suite.run_suite}[command]()
    except (BadVariable, CommandFailed, EngineMissing, ImageMissing, NotHealthy, NothingToTry, PortTaken) as error:
        sys.stderr.write(f"mailrun {command}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"mailrun {command}: interrupted\n")
        return INTERRUPTED_STATUS


def _up() -> int:
    bring_up(_tell)
    return 0


def _down() -> int:
    volumes = os.environ.get("VOLUMES", "") not in ("", "0")
    stack = _stack()
    stack.take_down(volumes=volumes)
    _tell(
        "containers and networks are removed, and the volumes with them"
        if volumes
        else "containers and networks are removed; the data stays in the volumes (`make down VOLUMES=1` removes it)"
    )
    return 0


def _logs() -> int:
    stack = _stack()
    if not stack.containers():
        raise NothingToTry("Mailrun is not running in containers; start it with `make up`")
    return stack.follow_logs()


def _stack() -> Stack:
    return Stack(find_engine(), Variables(ENV_FILE))


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
