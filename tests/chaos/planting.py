"""Planting: put something around a named function of the product, and fail when there is no such function."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Any

Original = Callable[..., Awaitable[Any]]


def place_of(place: str) -> tuple[Any, str]:
    """Whose attribute a place such as `services.sender.judge:Judge.judge` is, and its name.

    Raises:
        AttributeError, ModuleNotFoundError: there is no such place any more.
    """
    module_name, _, path = place.partition(":")
    holder: Any = importlib.import_module(module_name)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    getattr(holder, name)
    return holder, name


def replace(place: str, make: Callable[[Any], Any]) -> None:
    """Put what `make` makes of the original in its place."""
    holder, name = place_of(place)
    setattr(holder, name, make(getattr(holder, name)))
