"""Parking: a body that nobody can parse is put among the dead letters with its reason, and only then acked."""

from collections.abc import Awaitable, Callable

import structlog

from shared.broker.delivery import Delivery
from shared.broker.publications import parked_body
from shared.broker.publisher import Publisher
from shared.errors import BrokerUnavailable

PUBLISH_S = 30.0

log = structlog.get_logger()


async def park(
    delivery: Delivery, *, reason: str, publisher: Publisher, doubt: Callable[[str], Awaitable[None]]
) -> None:
    """Park a body and settle its delivery, waiting for the broker as long as the delivery can be acked at all.

    Never raises but when it is cancelled: a body that cannot be parked is not acked, so it comes again with the next
    channel.

    Args:
        reason: what is wrong with the body, without any of its content.
        doubt: told that the number of parked bodies has changed; the delivery is settled when that is noted.
    """
    publication = parked_body(delivery.body, reason=reason)
    try:
        while delivery.acks.is_open:
            try:
                await publisher.publish(publication, within_s=PUBLISH_S)
            except BrokerUnavailable as error:
                log.warning("publish.waits", routing_key=publication.routing_key, error=str(error))
            else:
                await doubt("body_parked")
                delivery.settle()
                return
    except Exception:
        log.exception("park.failed", bytes=len(delivery.body))
