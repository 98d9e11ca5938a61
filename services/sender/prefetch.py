"""Prefetch: how many commands a sender may hold.

Two batches and what is in flight keep a fast provider busy; with a slow one they would be minutes of work, behind which
an urgent mailing stands. So it is what the sender has lately finished in two seconds, and what is in flight.
"""

import asyncio
from collections.abc import Callable

from shared.broker.consumer import Consumer

LOOK_EVERY_S = 1.0
WORK_S = 2.0


def least_prefetch(concurrency: int) -> int:
    """What a sender begins with, and never falls below: what is in flight, and as much again."""
    return 2 * concurrency


def wanted_prefetch(current: int, *, finished_per_s: float, has_more: bool, concurrency: int, most: int) -> int:
    """What the prefetch should be: changed only for half as much again, or for half of it.

    Args:
        current: what it is.
        finished_per_s: calls that ended in the last second.
        has_more: whether unclaimed commands are at hand: without any, a low rate says nothing of the provider. But a
            sender without any work begins anew: nothing is known of the provider as it will be.
        concurrency: calls under way at once.
        most: upper bound.
    """
    wanted = min(most, max(least_prefetch(concurrency), round(concurrency + WORK_S * finished_per_s)))
    if wanted >= current * 1.5 or (wanted == most and current < most):
        return wanted
    may_shrink = has_more or not finished_per_s
    return wanted if may_shrink and wanted <= current / 2 else current


async def adapt_prefetch(
    consumer: Consumer,
    *,
    finished_per_s: Callable[[], int],
    has_more: Callable[[], bool],
    concurrency: int,
    most: int,
) -> None:
    """Adapt until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        consumer.set_prefetch(
            wanted_prefetch(
                consumer.prefetch,
                finished_per_s=finished_per_s(),
                has_more=has_more(),
                concurrency=concurrency,
                most=most,
            )
        )
