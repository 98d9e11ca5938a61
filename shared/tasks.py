"""Tasks that nobody may be waiting for any more."""

import asyncio
from typing import Any


def retrieve(task: "asyncio.Future[Any]") -> None:
    """Take note of how a task ended, as its done callback: else asyncio complains of an error that nobody has seen."""
    if not task.cancelled():
        task.exception()
