"""Report: the figures of many runs as a Markdown table, a row for each kind of fault."""

from collections.abc import Iterable, Sequence
from statistics import median

from tests.chaos.run import Result

COLUMNS = (
    "fault",
    "runs",
    "messages",
    "lost",
    "doubled, marked",
    "doubled, unmarked",
    "late",
    "other",
    "seconds to recover",
)


def table(results: Sequence[Result]) -> str:
    """A run counts for each kind of fault that it had. The last row is over all runs.

    "late" holds calls with a text that had been edited, too; "other" whatever else the checker holds against a run.
    Seconds to recover, from the healing to the last final mailing: median and most.
    """
    kinds = sorted({kind for result in results for kind in result.kinds})
    rows = [_row(kind, [result for result in results if kind in result.kinds]) for kind in kinds]
    lines = [COLUMNS, tuple("---" for _ in COLUMNS), *rows, _row("**all runs**", results)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, results: Sequence[Result]) -> tuple[str, ...]:
    return (
        name,
        str(len(results)),
        *(str(_sum(getattr(one, what) for one in results)) for what in ("messages", "lost", "marked")),
        *(str(_sum(getattr(one, what) for one in results)) for what in ("unmarked", "late", "other")),
        _spread([one.recovered_s for one in results]),
    )


def _sum(numbers: Iterable[int]) -> int:
    return sum(numbers)


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.0f}, {max(seconds):.0f}" if seconds else "-"
