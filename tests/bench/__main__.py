"""Run the benchmarks: `python -m tests.bench [--only PART,PART] [--rounds N] [--json FILE] [--size SHARE]`."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench import memory, moments, peers, reads, throughput
from tests.bench.figures import Figure, median_of
from tests.bench.places import Places, places
from tests.bench.tables import as_json, as_markdown, cpu, ratios, shown

Measure = Callable[[], Awaitable[dict[str, Figure]]]

PAIRS = (
    ("sender", "bare pipeline"),
    ("sender", "Celery"),
    ("sender", "FastStream"),
    ("end to end", "bare pipeline"),
    ("fan-out", "publish"),
    ("fan-out", "insert"),
    ("three senders, 100 ms", "one sender, 100 ms"),
    ("statistics of a running mailing", "the store's group by status"),
    ("page, the first", "the store's page"),
    ("page, the last", "page, the first"),
)


def parts(at: Places, share: float) -> dict[str, list[Measure]]:
    """Each part of the benchmarks: what it measures, one after the other."""

    def size(count: int) -> int:
        return max(100, round(count * share))

    async def named(name: str, measured: Awaitable[Figure]) -> dict[str, Figure]:
        return {name: await measured}

    async def with_slow(name: str, senders: int) -> dict[str, Figure]:
        slow = throughput.end_to_end(at, count=size(3_000), senders=senders, latency_ms=throughput.SLOW_MS)
        return {name: await slow}

    return {
        "limits": [
            lambda: throughput.limit(at, "post", "publish", "consume", "insert", "update", count=size(20_000)),
        ],
        "sender": [
            lambda: named("bare pipeline", throughput.bare_pipeline(at, count=size(20_000))),
            lambda: named("sender", throughput.sender(at, count=size(20_000))),
        ],
        "peers": [
            lambda: named("sender", throughput.sender(at, count=size(20_000))),
            lambda: named("Celery", peers.measure(at, "celery", count=size(5_000))),
            lambda: named("FastStream", peers.measure(at, "faststream", count=size(10_000))),
        ],
        "fan-out": [
            lambda: throughput.limit(at, "publish", "insert", count=size(20_000)),
            lambda: named("fan-out", throughput.fan_out(at, count=size(20_000))),
        ],
        "end-to-end": [
            lambda: named("bare pipeline", throughput.bare_pipeline(at, count=size(20_000))),
            lambda: named("end to end", throughput.end_to_end(at, count=size(20_000))),
        ],
        "replicas": [
            lambda: with_slow("one sender, 100 ms", 1),
            lambda: with_slow("three senders, 100 ms", 3),
        ],
        "start": [lambda: moments.start_delay(at)],
        "pause": [lambda: named("pause", moments.pause(at, count=size(20_000)))],
        "urgent": [
            lambda: moments.urgent(at, beside=size(50_000)),
            lambda: moments.urgent(at, beside=size(50_000), latency_ms=moments.SLOW_MS),
        ],
        "memory": [
            lambda: memory.peak_memory(at, count=size(1_000)),
            lambda: memory.peak_memory(at, count=size(10_000)),
            lambda: memory.peak_memory(at, count=size(100_000)),
        ],
        "reads": [lambda: reads.statistics_and_pages(at, count=size(100_000))],
        "api": [lambda: reads.api_under_load(at, count=size(3_000))],
    }


async def measure_all(only: list[str], rounds: int, share: float) -> tuple[str, dict[str, Figure]]:
    """Where everything was measured, and the median of each figure."""
    async with places() as at:
        chosen = parts(at, share)
        unknown = sorted(set(only) - set(chosen))
        if unknown:
            sys.exit(f"no such part: {', '.join(unknown)}; there are: {', '.join(chosen)}")
        told = f"{at.told}; {os.cpu_count()} cores; median of {rounds} rounds"
        print(told, file=sys.stderr)
        measured: dict[str, list[Figure]] = {}
        for number in range(1, rounds + 1):
            for part, measures in chosen.items():
                if only and part not in only:
                    continue
                began_s = time.monotonic()
                for measure in measures:
                    for name, figure in (await measure()).items():
                        measured.setdefault(name, []).append(figure)
                        print(f"round {number}, {name}: {shown(figure)} {cpu(figure)}", file=sys.stderr, flush=True)
                print(f"round {number}, {part}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        return told, {name: median_of(one) for name, one in measured.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="benchmarks, side by side")
    parser.add_argument("--only", default="", help="parts, with commas between; all without it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual counts of messages, for a try")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    arguments = parser.parse_args()
    only = [one for one in arguments.only.split(",") if one]
    told, figures = asyncio.run(measure_all(only, arguments.rounds, arguments.size))
    print(f"{told}\n\n{as_markdown(figures)}\n\n{ratios(figures, PAIRS)}")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"told": told, "figures": as_json(figures)}, indent=2) + "\n")
