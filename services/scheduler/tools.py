"""What every chunk of work is done with, and the limits that it keeps."""

from dataclasses import dataclass
from datetime import timedelta

from services.scheduler.backpressure import Backpressure
from shared.broker.publisher import Publisher
from shared.domain.self_pause import DEFAULT_FAILURE_SHARE
from shared.runtime.clock import Clock
from shared.store.store import Store

PUBLISH_S = 20.0  # a chunk that the broker has not confirmed by then is done again; well below the lease
LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Attributes:
        chunk_clients: clients planned, or messages handled, at a time.
        max_attempts: attempts that a message gets before it is given up, and again at a replay.
        mend_after: silence after which a message's command is taken for lost.
        tick: longest time before a running mailing is looked at again.
        pause_failure_share: a mailing pauses itself when more than this part of its outcomes are permanent failures.
    """

    chunk_clients: int
    max_attempts: int
    mend_after: timedelta
    tick: timedelta
    pause_failure_share: float = DEFAULT_FAILURE_SHARE


@dataclass(frozen=True, slots=True)
class Tools:
    """Store, broker, clock and limits."""

    store: Store
    publisher: Publisher
    backpressure: Backpressure
    clock: Clock
    limits: Limits
