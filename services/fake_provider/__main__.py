"""`python -m services.fake_provider`: the fake provider as a process."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import structlog
import uvloop

from services.fake_provider.ledger import Ledger
from services.fake_provider.ledger_file import LedgerFile, LedgerFileError
from services.fake_provider.listener import PortUnavailableError
from services.fake_provider.server import FakeProvider
from shared.runtime.clock import SystemClock
from shared.runtime.logs import configure_logs
from shared.runtime.stopping import stop_on_signals

DEFAULT_CAPACITY = 1_000_000
"""Calls that the ledger holds unless told otherwise."""


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the process with its usage and status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m services.fake_provider",
        description="A stand-in for the external provider, with switchable faults and a ledger of every call.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=_bounded(0, 65_535), default=9000, help="default %(default)s; 0: any free one")
    parser.add_argument(
        "--token",
        default=os.environ.get("PROVIDER_TOKEN"),
        help="bearer token that calls must carry (default: PROVIDER_TOKEN; without one every call is let in)",
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="keep the ledger in this file, too")
    parser.add_argument(
        "--ledger-capacity",
        type=_bounded(1, 100_000_000),
        default=DEFAULT_CAPACITY,
        metavar="CALLS",
        help="calls that the ledger holds before further ones are refused (default %(default)s)",
    )
    parser.add_argument(
        "--log-format",
        choices=("json", "console"),
        default="console" if os.environ.get("LOG_FORMAT") == "console" else "json",
        help="how log lines are written (default: LOG_FORMAT, else json)",
    )
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace, ledger: Ledger) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        PortUnavailableError: the address cannot be listened on.
    """
    stop = stop_on_signals()
    provider = FakeProvider(ledger=ledger, token=options.token or None, clock=SystemClock())
    host, port = await provider.open(options.host, options.port)
    structlog.get_logger().info(
        "fake_provider.started",
        address=f"http://{f'[{host}]' if ':' in host else host}:{port}",
        calls_in_ledger=ledger.summary.calls,
    )
    try:
        await provider.serve_until(stop)
    finally:
        await provider.close()


def main() -> int:
    """Run the process; its exit status."""
    options = read_options(sys.argv[1:])
    configure_logs("fake_provider", level="INFO", log_format=options.log_format)
    file: LedgerFile | None = None
    try:
        if options.ledger is not None:
            file = LedgerFile(options.ledger)
        ledger = Ledger(capacity=options.ledger_capacity, writer=file)
        if file is not None:
            ledger.load(file.read_entries())
        uvloop.run(run(options, ledger))
    except (LedgerFileError, PortUnavailableError) as error:
        sys.stderr.write(f"fake provider: {error}\n")
        return 1
    finally:
        if file is not None:
            file.close()
    return 0


def _bounded(least: int, most: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        number = int(raw)
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
        return number

    read.__name__ = "integer"  # argparse names the type in "invalid integer value"
    return read


if __name__ == "__main__":
    sys.exit(main())
