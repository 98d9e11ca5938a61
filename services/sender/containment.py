"""Containment: an unexpected error costs the messages that bring it about, and no others.

What a stage raises besides the absence of the store or the broker is a mistake of ours, or a document that somebody
else has written. Then the batch is done again one by one, which every update of the store allows under its token, and
whoever fails alone is let go: its command is settled, and since every open message has a moment at which a scheduler
looks after it, it comes back then. So a poisonous message costs a traceback a minute, and no sender its life.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

T = TypeVar("T")
R = TypeVar("R")

ALL_FAILED_WAIT_S = 1.0  # when nothing went well it may not be the messages: do not let go of a whole queue in a rush

log = structlog.get_logger()


async def one_by_one(
    batch: Sequence[T],
    act: Callable[[Sequence[T]], Awaitable[R]],
    *,
    let_go: Callable[[T], None],
    name: Callable[[T], int],
    stage: str,
) -> list[R]:
    """Do something with a batch; if that fails unexpectedly, with each of it by itself.

    Args:
        act: safe to repeat.
        let_go: takes whoever failed alone.
        name: the message id of each, for the log.
        stage: what was being done, for the log.

    Returns:
        What `act` returned, each time.
    """
    try:
        return [await act(batch)]
    except Exception:
        log.exception("batch.failed", stage=stage, message_ids=[name(one) for one in batch])
    results: list[R] = []
    for one in batch:
        try:
            results.append(await act([one]))
        except Exception:
            log.exception("message.let_go", stage=stage, message_id=name(one))
            let_go(one)
    if not results:
        await asyncio.sleep(ALL_FAILED_WAIT_S)
    return results
