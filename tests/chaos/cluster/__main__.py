"""`python -m tests.chaos.cluster`: lose a node of three in the middle of a mailing, in one way after the other."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.containers.engine import CommandFailed, Engine, EngineMissing, find_engine
from deploy.local.interrupts import interrupt_on_signals
from deploy.local.readiness import NotReady
from tests.chaos.cluster.faults import FAULTS, Fault
from tests.chaos.cluster.nodes import running_cluster
from tests.chaos.cluster.report import table
from tests.chaos.cluster.run import MESSAGES, SETTINGS, Result, run_with_fault
from tests.e2e.system import running_system
from tests.support.isolation import fresh_database
from tests.support.servers import ServerMissing, store

BROKEN, CANNOT_RUN, INTERRUPTED = 1, 2, 130


def main() -> int:
    """Run the faults that were asked for; 0 when all promises held, 1 when not, 2 when nothing could be tried."""
    options = _options()
    interrupt_on_signals()
    folder = Path(tempfile.mkdtemp(prefix="mailrun-cluster-"))
    faults = [FAULTS[name] for name in options.fault or FAULTS]
    results: list[Result] = []
    try:
        engine = find_engine()
        with store() as there, fresh_database(there.mongo_url) as database:
            _tell(f"three nodes are started, and {there.told} as the store; logs are in {folder}")
            asyncio.run(_run(engine, folder, there.mongo_url, database, faults, options.messages, results))
    except EngineMissing as error:
        _tell(str(error))
        return CANNOT_RUN
    except (CommandFailed, NotReady, ServerMissing, AssertionError) as error:
        _tell(f"{type(error).__name__}: {error}")
        return BROKEN
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        _tell("interrupted; everything that was started is gone")
        return INTERRUPTED
    finally:
        if results:
            print(table(results), end="", flush=True)
            if options.results:
                options.results.write_text(table(results))
    problems = [f"{result.told}: {problem}" for result in results for problem in result.problems]
    for problem in problems:
        _tell(problem)
    if not problems:
        shutil.rmtree(folder)
    return BROKEN if problems else 0


async def _run(
    engine: Engine,
    folder: Path,
    mongo_url: str,
    database: str,
    faults: Sequence[Fault],
    messages: int,
    results: list[Result],
) -> None:
    async with (
        running_cluster(engine, logs_to=folder) as cluster,
        running_system(folder, cluster.amqp_url, mongo_url, database, settings=SETTINGS) as system,
    ):
        for fault in faults:
            _tell(f"a mailing of {messages:,}; in its middle a node is {fault.told}")
            results.append(await run_with_fault(system, cluster, fault, messages))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.cluster", description=__doc__)
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="may be repeated; default: all")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="of each mailing (default %(default)s)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="write the table there, too")
    return parser.parse_args()


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
