"""Run the fault campaign: `python -m tests.chaos --seeds 100`; a failing seed says by what command it is repeated."""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.mistakes import MISTAKES
from tests.chaos.report import table
from tests.chaos.run import Result, run_schedule, stuck
from tests.chaos.schedule import Schedule, draw, each_provider_fault
from tests.chaos.servers import Shared, own_servers, part_of, shared_servers

MENDING = {"on": True, "off": False, None: None}


def read_options(arguments: list[str]) -> argparse.Namespace:
    """Read the command line; a wrong one ends the process with its usage and status 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The fault campaign.")
    parser.add_argument("--seeds", type=int, default=10, help="how many (default %(default)s)")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first one (default %(default)s)")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--provider-faults", action="store_true", help="each fault of the provider, in place of seeds")
    parser.add_argument("--workers", type=positive, default=1, help="runs at a time (default %(default)s)")
    parser.add_argument("--mending", choices=("on", "off"), help="for all; else on for even seeds, off for odd ones")
    parser.add_argument("--servers", choices=("own", "shared"), help="for all; else as the seed says")
    parser.add_argument("--results", type=Path, help="a line of JSON for each run is appended to this file")
    parser.add_argument("--folder", type=Path, help="where the folders of failed runs are kept (default: a new one)")
    parser.add_argument("--mistake", choices=sorted(MISTAKES), help="plant this mistake into the services")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    """A number of workers.

    Raises:
        ValueError: it is none, which argparse tells as a wrong option.
    """
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


async def run_all(options: argparse.Namespace, shared: Shared | None, folder: Path) -> list[Result]:
    """Run the seeds, some at a time."""
    gate = asyncio.Semaphore(options.workers)

    async def run(schedule: Schedule) -> Result:
        async with gate:
            own = folder / f"seed-{schedule.seed}"
            try:
                own.mkdir(parents=True)
                result = await run_one(schedule, shared, own, mistake=options.mistake)
            except Exception as error:  # noqa: BLE001 - one run that breaks down must not end the others
                result = stuck(Result.of(schedule), error)
        tell(result, schedule, options)
        return result

    return list(await asyncio.gather(*(run(schedule) for schedule in schedules(options))))


def schedules(options: argparse.Namespace) -> list[Schedule]:
    if options.provider_faults:
        return [one for one in each_provider_fault() if options.seed in (None, one.seed)]
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    own = None if options.servers is None else options.servers == "own"
    return [draw(seed, mending=MENDING[options.mending], own_servers=own) for seed in seeds]


async def run_one(schedule: Schedule, shared: Shared | None, folder: Path, *, mistake: str | None = None) -> Result:
    """One run in an empty folder, which is thrown away when all went well."""
    if schedule.own_servers or shared is None:
        async with own_servers(folder) as servers:
            result = await run_schedule(schedule, servers, folder, mistake=mistake)
    else:
        with part_of(shared) as servers:
            result = await run_schedule(schedule, servers, folder, mistake=mistake)
    (folder / "result.json").write_text(json.dumps(result.document(), indent=1))
    if not result.problems and not result.tracebacks:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def tell(result: Result, schedule: Schedule, options: argparse.Namespace) -> None:
    """Say how a run went; keep it."""
    print(
        f"seed {result.seed}: {'FAILED' if result.problems else 'ok'}, {result.messages} messages, "
        f"{result.calls} calls, lost {result.lost}, marked {result.marked}, unmarked {result.unmarked}, "
        f"late {result.late}, recovered in {result.recovered_s:.0f} s, took {result.took_s:.0f} s",
        *(f"tracebacks: {dict(result.tracebacks)}" for _ in [0] if result.tracebacks),
        flush=True,
    )
    if result.problems:
        print("\n".join(schedule.lines()))
        print("\n".join(f"  {problem}" for problem in result.problems[:20]))
        mistake = f" --mistake {options.mistake}" if options.mistake else ""
        mending = f" --mending {options.mending}" if options.mending else ""
        servers = f" --servers {options.servers}" if options.servers else ""
        provider = " --provider-faults" if options.provider_faults else ""
        print(f"repeat it: python -m tests.chaos --seed {result.seed}{provider}{mending}{servers}{mistake}", flush=True)
    if options.results is not None:
        with options.results.open("a") as results:
            results.write(json.dumps(result.document()) + "\n")


def main() -> int:
    options = read_options(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="mailrun-chaos-"))
    print(f"the folders of failed runs are kept in {folder}", flush=True)
    with ExitStack() as stack:
        need_shared = not all(schedule.own_servers for schedule in schedules(options))
        shared = stack.enter_context(shared_servers()) if need_shared else None
        results = asyncio.run(run_all(options, shared, folder))
    print(table([result.document() for result in results]))
    failed = [result.seed for result in results if result.problems]
    print(f"{len(results)} seeds, failed: {failed or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
