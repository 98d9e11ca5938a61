"""Figures: what one measurement came to, and the median of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Attributes:
        value: in `unit`.
        unit: "/s", "ms", "s" or "MB".
        cpu_ms: by part: CPU per message, milliseconds.
    """

    value: float
    unit: str = "/s"
    cpu_ms: Mapping[str, float] = field(default_factory=dict)


def median_of(rounds: Sequence[Figure]) -> Figure:
    """The median of some rounds, of the value and of each part's CPU by itself."""
    parts = {part for one in rounds for part in one.cpu_ms}
    return Figure(
        median(one.value for one in rounds),
        rounds[0].unit,
        {part: median(one.cpu_ms[part] for one in rounds if part in one.cpu_ms) for part in sorted(parts)},
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * int(share * 1_000) // 1_000) - 1))]
