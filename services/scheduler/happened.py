"""Happened: what a scheduler tells the rest of the world about a mailing."""

from datetime import datetime

import structlog

from services.scheduler.tools import PUBLISH_S, Tools
from shared.broker.publications import event
from shared.contracts.events import MailingEvent, MailingEventKind
from shared.errors import BrokerUnavailable

log = structlog.get_logger()


async def tell(kind: MailingEventKind, mailing_id: int, tools: Tools, at: datetime) -> None:
    """Publish an event; one that the broker does not take is dropped, as it carries no truth of its own."""
    happened = MailingEvent(kind=kind, mailing_id=mailing_id, at=at)
    try:
        await tools.publisher.publish(event(happened), within_s=PUBLISH_S)
    except BrokerUnavailable:
        log.warning("event.dropped", mailing_id=mailing_id, kind=kind)
