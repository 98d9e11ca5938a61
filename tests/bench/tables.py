"""Tables: the figures as Markdown for people, as JSON for machines."""

from collections.abc import Iterable, Mapping

from tests.bench.figures import Figure

CPU_PARTS = ("process", "api", "scheduler", "sender", "store", "broker", "provider")


def as_markdown(figures: Mapping[str, Figure]) -> str:
    """A row for each figure; CPU per message in milliseconds beside those that have it."""
    rows = ["| what | median | CPU per message, ms |", "| --- | ---: | --- |"]
    rows += [f"| {name} | {shown(figure)} | {cpu(figure)} |" for name, figure in figures.items()]
    return "\n".join(rows)


def ratios(figures: Mapping[str, Figure], pairs: Iterable[tuple[str, str]]) -> str:
    """Rows of one figure divided by another, of those that were both measured."""
    rows = ["| ratio | |", "| --- | ---: |"]
    for one, other in pairs:
        if one in figures and other in figures and figures[other].value:
            rows.append(f"| {one} / {other} | {figures[one].value / figures[other].value:.2f} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def as_json(figures: Mapping[str, Figure]) -> dict[str, object]:
    return {
        name: {"value": round(figure.value, 3), "unit": figure.unit, "cpu_ms": dict(figure.cpu_ms)}
        for name, figure in figures.items()
    }


def shown(figure: Figure) -> str:
    digits = 0 if figure.value >= 100 else 1 if figure.value >= 10 else 2
    return f"{figure.value:,.{digits}f} {figure.unit}".replace(" /s", "/s")


def cpu(figure: Figure) -> str:
    return ", ".join(f"{part} {figure.cpu_ms[part]:.2f}" for part in CPU_PARTS if figure.cpu_ms.get(part, 0) >= 0.005)
