"""Run the crash points: `python -m tests.chaos.crash_points [--only PATTERN] [--policy resend|hold] [--workers N]`."""

import argparse
import asyncio
import json
import re
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from tests.chaos.__main__ import positive
from tests.chaos.crash_runs import run_point
from tests.chaos.mistakes import MISTAKES
from tests.chaos.points import Point, all_points
from tests.chaos.report import table
from tests.chaos.run import Result, stuck
from tests.chaos.servers import Shared, part_of, shared_servers

POLICIES = ("resend", "hold")


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the process with its usage and status 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.crash_points", description="Every crash point.")
    parser.add_argument("--only", default=re.compile(""), type=pattern, help="names, such as 'sender stalls|parked'")
    parser.add_argument("--policy", choices=POLICIES, help="this one alone, of both")
    parser.add_argument("--workers", type=positive, default=1, help="runs at a time (default %(default)s)")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--results", type=Path, help="a line of JSON for each run is appended to this file")
    parser.add_argument("--folder", type=Path, help="where the folders of failed runs are kept (default: a new one)")
    parser.add_argument("--mistake", choices=sorted(MISTAKES), help="plant this mistake into the services")
    return parser.parse_args(arguments)


def pattern(text: str) -> re.Pattern[str]:
    """
    Raises:
        ValueError: it is none, which argparse tells as a wrong option.
    """
    try:
        return re.compile(text)
    except re.error as error:
        raise ValueError(text) from error


def chosen(options: argparse.Namespace) -> list[tuple[int, Point, str]]:
    """Number, point and policy of each run."""
    policies = POLICIES if options.policy is None else (options.policy,)
    runs = [
        (point, policy) for point, policy in product(all_points(), policies) if options.only.search(point.full_name)
    ]
    return [(number, point, policy) for number, (point, policy) in enumerate(runs, start=1)]


async def run_all(options: argparse.Namespace, shared: Shared, folder: Path) -> list[Result]:
    gate = asyncio.Semaphore(options.workers)

    async def run(number: int, point: Point, policy: str) -> Result:
        async with gate:
            own = folder / f"point-{number}"
            try:
                own.mkdir(parents=True)
                result = await run_one(point, policy, shared, own, mistake=options.mistake)
            except Exception as error:  # noqa: BLE001 - one run that breaks down must not end the others
                result = stuck(Result(number, point.mending, (point.full_name,)), error)
        tell(result, point, policy, options)
        return result

    return list(await asyncio.gather(*(run(*one) for one in chosen(options))))


async def run_one(point: Point, policy: str, shared: Shared, folder: Path, *, mistake: str | None = None) -> Result:
    """One run in an empty folder, which is thrown away when all went well."""
    with part_of(shared) as servers:
        result = await run_point(point, servers, folder, on_unknown=policy, mistake=mistake)
    if not result.problems and not result.tracebacks:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def tell(result: Result, point: Point, policy: str, options: argparse.Namespace) -> None:
    """Say how a run went; keep it."""
    more = f", tracebacks: {dict(result.tracebacks)}" if result.tracebacks else ""
    print(
        f"{'FAILED' if result.problems else 'ok'}: {point.full_name} ({policy}): {result.messages} messages, "
        f"{result.calls} calls, lost {result.lost}, marked {result.marked}, unmarked {result.unmarked}, "
        f"late {result.late}, recovered in {result.recovered_s:.0f} s, took {result.took_s:.0f} s{more}",
        flush=True,
    )
    for problem in result.problems[:20]:
        print(f"  {problem}")
    if result.problems:
        mistake = f" --mistake {options.mistake}" if options.mistake else ""
        print(f'repeat it: python -m tests.chaos.crash_points --only "{point.full_name}" --policy {policy}{mistake}')
    if options.results is not None:
        with options.results.open("a") as results:
            results.write(json.dumps(result.document() | {"row": point.row, "policy": policy}) + "\n")


def main() -> int:
    options = read_options(sys.argv[1:])
    runs = chosen(options)
    if options.list:
        print("\n".join(f"{point.full_name} ({policy})" for _, point, policy in runs))
        return 0
    if not runs:
        print(f"no point fits {options.only.pattern!r}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="mailrun-crash-points-"))
    print(f"{len(runs)} runs; the folders of failed ones are kept in {folder}", flush=True)
    with ExitStack() as stack:
        shared = stack.enter_context(shared_servers())
        results = asyncio.run(run_all(options, shared, folder))
    print(table([result.document() for result in results]))
    failed = sum(bool(result.problems) for result in results)
    print(f"{len(results)} runs of crash points, failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
