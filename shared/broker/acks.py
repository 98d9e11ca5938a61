"""Acks: many deliveries settled with few frames, on the channel that they came by.

A delivery tag belongs to its channel, and acking one twice closes the channel. So each channel has an `Acks` of its
own, which forgets everything when the channel is gone: the broker delivers again what was not acked.
"""

import asyncio
from collections import OrderedDict

import aiormq
import structlog

from shared.broker.gateway import is_loss

STUCK_S = 1.0  # after this long behind an unfinished delivery, a finished one is acked by itself

log = structlog.get_logger()


class Acks:
    """The unsettled deliveries of one channel, in their order."""

    def __init__(self, channel: aiormq.abc.AbstractChannel) -> None:
        self._channel = channel
        self._unsettled: OrderedDict[int, float | None] = OrderedDict()  # tag -> when it was settled, not yet acked
        self._sending = asyncio.Lock()

    @property
    def unsettled(self) -> int:
        """Deliveries not acked yet."""
        return len(self._unsettled)

    @property
    def is_open(self) -> bool:
        return not self._channel.is_closed

    def delivered(self, tag: int) -> None:
        """Note a delivery. Called in the order of the tags, or `multiple` would ack what was never seen."""
        self._unsettled[tag] = None

    def settle(self, tag: int) -> None:
        """Nothing more is to be done for this delivery; it is acked with the next `flush`."""
        if tag in self._unsettled:
            self._unsettled[tag] = asyncio.get_running_loop().time()

    async def flush(self) -> None:
        """Ack what is settled: the contiguous prefix in one frame, and what has long been stuck behind it singly.

        Measured with RabbitMQ 4.0: `multiple` takes consuming from 7,500/s to 14,000/s and the broker to a third of
        its CPU. A lost channel is not an error: its deliveries come again.
        """
        async with self._sending:
            prefix = 0
            for tag, settled_at in self._unsettled.items():
                if settled_at is None:
                    break
                prefix = tag
            stuck_since = asyncio.get_running_loop().time() - STUCK_S
            try:
                if prefix:
                    await self._channel.basic_ack(prefix, multiple=True)
                    while self._unsettled and next(iter(self._unsettled)) <= prefix:
                        self._unsettled.popitem(last=False)
                for tag in [tag for tag, at in self._unsettled.items() if at is not None and at < stuck_since]:
                    await self._channel.basic_ack(tag)
                    del self._unsettled[tag]
            except BaseException as error:
                if not is_loss(error):
                    raise
                log.info("acks.lost", unsettled=len(self._unsettled))
                self._unsettled.clear()
