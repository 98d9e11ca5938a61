"""Interrupts: one way to be told to stop, whatever the signal."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_on_signals() -> None:
    """Let the first Ctrl-C, SIGTERM or closed terminal raise KeyboardInterrupt, and those after it nothing.

    So what is being stopped is not interrupted in its turn. Ctrl-C counts even where a shell had it ignored for us, as
    shells do for commands in the background.
    """

    def interrupt(received: int, _: FrameType | None) -> None:
        for number in STOPPING_SIGNALS:
            signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt(signal.Signals(received).name)

    for number in STOPPING_SIGNALS:
        # A SIGHUP that is ignored is so on purpose: by nohup(1).
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Raise nothing for a while; the signals that come in are in the list instead."""
    noted: list[int] = []
    handlers = {number: signal.getsignal(number) for number in STOPPING_SIGNALS}
    for number in handlers:
        signal.signal(number, lambda received, _: noted.append(received))
    try:
        yield noted
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
