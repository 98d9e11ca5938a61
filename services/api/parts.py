"""Parts: what the routes work with, wired by `__main__` and found by them in the application."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.api.counts import CountsReader
from services.api.events import Events
from services.api.store_watch import StoreWatch
from shared.domain.message import OnUnknown
from shared.errors import StoreUnavailable
from shared.runtime.clock import Clock
from shared.runtime.health import Health
from shared.store.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with. `on_unknown` is the policy of a mailing that names none."""

    store: Store
    store_watch: StoreWatch
    counts: CountsReader
    events: Events
    clock: Clock
    health: Health
    on_unknown: OnUnknown


def any_parts(request: Request) -> Parts:
    """The parts, whatever their state."""
    parts: Parts = request.app.state.parts
    return parts


def prepared_parts(request: Request) -> Parts:
    """The parts, once the store can be worked with.

    Raises:
        StoreUnavailable: it has not been reached yet.
    """
    parts = any_parts(request)
    if not parts.store_watch.prepared:
        raise StoreUnavailable("the store has not been reached since the start")
    return parts


AnyParts = Annotated[Parts, Depends(any_parts)]
PreparedParts = Annotated[Parts, Depends(prepared_parts)]
