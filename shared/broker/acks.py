"""Acks: many deliveries settled with few frames, on the channel that they came by.

A delivery tag belongs to its channel, and acking one twice closes the channel. So each channel has an `Acks` of its
own, which forgets everything when the channel is gone: the broker delivers again what was not acked.
"""

import asyncio
from collections import OrderedDict

import aiormq
import structlog

from shared.broker.gateway import describe, is_loss

STUCK_S = 1.0  # after this long behind an unfinished delivery, a finished one is acked by itself
FLUSH_TIMEOUT_S = 10.0

log = structlog.get_logger()


class Acks:
    """The unsettled deliveries of one channel, in their order."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self._channel = channel
        self._unsettled: OrderedDict[int, float | None] = OrderedDict()  # tag -> when it was settled, not yet acked
        self._sending = asyncio.Lock()
        self._given_up = False

    @property
    def is_open(self) -> bool:
        """Whether what was delivered can still be acked; else the broker delivers it again."""
        return not self._given_up and not self._channel.is_closed

    @property
    def unacked(self) -> int:
        """How many deliveries the broker still waits for the acks of."""
        return len(self._unsettled)

    def delivered(self, tag: int) -> None:
        """Note a delivery. Called in the order of the tags, or `multiple` would ack what was never seen."""
        self._unsettled[tag] = None

    def settle(self, tag: int) -> None:
        """Nothing more is to be done for this delivery; it is acked with the next `flush`."""
        if tag in self._unsettled and self._unsettled[tag] is None:
            self._unsettled[tag] = asyncio.get_running_loop().time()

    def give_up(self) -> None:
        """Ack nothing more: the channel is about to be closed, and an ack behind that costs the whole connection."""
        self._given_up = True
        self._unsettled.clear()

    async def flush(self, *, last: bool = False) -> None:
        """Ack what is settled: the contiguous prefix in one frame, and what has long been stuck behind it singly.

        Measured with RabbitMQ 4.0: `multiple` takes consuming from 7,500/s to 14,000/s and the broker to a third of
        its CPU. A lost channel is not an error: its deliveries come again.

        Args:
            last: no other flush follows, so all that is settled is acked.
        """
        async with self._sending:
            try:
                async with asyncio.timeout(FLUSH_TIMEOUT_S):
                    if prefix := self._settled_prefix():
                        await self._ack(prefix, multiple=True)
                    for tag in self._stuck(for_s=0.0 if last else STUCK_S):
                        await self._ack(tag, multiple=False)
            except BaseException as error:
                if not is_loss(error):
                    raise
                log.info("acks.lost", unsettled=len(self._unsettled), error=describe(error))
                self.give_up()

    def _settled_prefix(self) -> int:
        """The last tag before the first delivery that is not settled; 0 when there is none."""
        prefix = 0
        for tag, settled_at in self._unsettled.items():
            if settled_at is None:
                break
            prefix = tag
        return prefix

    def _stuck(self, *, for_s: float) -> list[int]:
        since = asyncio.get_running_loop().time() - for_s
        return [tag for tag, settled_at in self._unsettled.items() if settled_at is not None and settled_at <= since]

    async def _ack(self, tag: int, *, multiple: bool) -> None:
        if self._given_up:
            return
        # Without waiting for the socket: so an ack that is given up in the middle has not been written, and is not
        # written twice. Nothing would be known by waiting either: an ack has no answer.
        await self._channel.basic_ack(tag, multiple=multiple, wait=False)
        if not multiple:
            self._unsettled.pop(tag, None)
            return
        while self._unsettled and next(iter(self._unsettled)) <= tag:
            self._unsettled.popitem(last=False)
