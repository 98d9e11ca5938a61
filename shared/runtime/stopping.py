"""Stopping: SIGTERM and SIGINT set an event that everything in the process waits for."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


def stop_on_signals() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked(received: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(received)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked, name)
    return stop


async def sleep_until_stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, but no longer than until the stop; whether there was one."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Do some work, but give it up at the stop; whether it was given up."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if working.done():
        working.result()
        return False
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return True
