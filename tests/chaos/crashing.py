"""Crashing: a process that dies or stalls at a named place, once. Planted by the launcher."""

from typing import Any


def plant_point(point: dict[str, Any], service: str) -> None:
    raise NotImplementedError
