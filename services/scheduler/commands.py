"""Publications that a scheduler makes: send commands, dead letters, events."""

from shared.broker.publisher import Publication
from shared.broker.topology import ExchangeName
from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import DEAD_ROUTING_KEY, DeadLetterHeaders
from shared.contracts.events import MailingEvent
from shared.domain.mailing import Mailing
from shared.store.message_documents import Standing


def send_command(message_id: int, mailing: Mailing, *, attempt: int, recover: bool = False) -> Publication:
    """Ask the senders for an attempt."""
    command = SendCommand(
        message_id=message_id,
        mailing_id=mailing.id,
        attempt=attempt,
        recover=recover,
        request_id=mailing.request_id,
    )
    return Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, command.to_body())


def dead_letter(standing: Standing, *, reason: str) -> Publication:
    """The entry of a message that is failed or unknown."""
    command = SendCommand(
        message_id=standing.id, mailing_id=standing.mailing_id, attempt=max(1, standing.attempt), recover=True
    )
    headers = DeadLetterHeaders(reason, standing.mailing_id, standing.client_id)
    return Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, command.to_body(), headers.as_headers())


def event(happened: MailingEvent) -> Publication:
    """Tell whoever wants to know."""
    return Publication(ExchangeName.MAILINGS, happened.routing_key, happened.to_body())
