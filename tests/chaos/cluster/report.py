"""Report: a row for each fault, as Markdown."""

from collections.abc import Sequence

from tests.chaos.cluster.run import Result

HEADINGS = (
    "the node with the send queue's leader",
    "messages",
    "lost",
    "doubled, marked",
    "doubled, unmarked",
    "longest silence, s",
    "at half the pace or less until, s",
    "senders' connections on it",
    "whole mailing, s",
)


def table(results: Sequence[Result]) -> str:
    """The table, ending with a line break."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(_row(result) for result in results)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _row(result: Result) -> tuple[str, ...]:
    there, everywhere = result.connections
    return (
        result.told,
        f"{result.messages:,}",
        str(result.lost),
        str(result.doubled - result.unmarked),
        str(result.unmarked),
        f"{result.silence_s:.1f}",
        str(result.slow_s),
        f"{there} of {everywhere}",
        f"{result.took_s:.0f}",
    )
