"""Report: the figures of many runs as a Markdown table, a row for each kind of fault.

`python -m tests.chaos.report FILE...` makes it of results that were kept, as `--results` writes them.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

Run = Mapping[str, Any]

COLUMNS = {
    "messages": "messages",
    "lost": "lost",
    "marked": "doubled, marked",
    "unmarked": "doubled, unmarked",
    "late": "late",
    "other": "other",
}


def table(runs: Sequence[Run]) -> str:
    """A run (as `Result.document` tells it) counts for each kind of fault that it had. The last row is over all runs.

    "late" holds calls with a text that had been edited, too; "other" whatever else the checker holds against a run.
    Seconds to recover, from the healing to the last final mailing: median and most.
    """
    kinds = sorted({kind for run in runs for kind in run["kinds"]})
    rows = [_row(kind, [run for run in runs if kind in run["kinds"]]) for kind in kinds]
    head = ("fault", "runs", *COLUMNS.values(), "seconds to recover")
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows, _row("**all runs**", runs)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, runs: Sequence[Run]) -> tuple[str, ...]:
    sums = (f"{sum(run[what] for run in runs):,}" for what in COLUMNS)
    return (name, str(len(runs)), *sums, _spread([run["recovered_s"] for run in runs]))


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.0f}, {max(seconds):.0f}" if seconds else "-"


def kept(files: Sequence[Path]) -> list[Run]:
    """The runs in these files; of those of the same seed, or of the same point under the same policy, the last one."""
    runs = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return list({(run.get("policy", run["seed"]), *run["kinds"]): run for run in runs}.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.report", description="A table of kept results.")
    parser.add_argument("files", nargs="+", type=Path, help="as --results has written them")
    try:
        print(table(kept(parser.parse_args().files)))
    except (OSError, ValueError, KeyError) as error:
        parser.error(f"{type(error).__name__}: {error}")
