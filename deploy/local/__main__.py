"""`python -m deploy.local run|demo`: the local run as a command."""

import argparse
import sys
from pathlib import Path

from deploy.local.announcement import SystemEnded
from deploy.local.choices import BadChoice
from deploy.local.demo import demo
from deploy.local.leftovers import AlreadyRunning
from deploy.local.ports import PortTaken
from deploy.local.program import ROOT
from deploy.local.rabbit import RabbitMissing
from deploy.local.run import run

DATA = ROOT / ".local"


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.local", description="Mailrun on this machine, no containers."
    )
    parser.add_argument("act", choices=("run", "demo"), help="run: until stopped; demo: one mailing, then all is gone")
    parser.add_argument("--data", type=Path, default=DATA, help="folder for data and logs (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=1_000, help="clients of the demo (default: %(default)s)")
    options = parser.parse_args()
    data = options.data.resolve()
    try:
        return run(data / "run") if options.act == "run" else demo(data, clients=options.clients)
    except (AlreadyRunning, BadChoice, PortTaken, RabbitMissing, SystemEnded) as problem:
        print(f"{options.act}: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
