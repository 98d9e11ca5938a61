"""Publications: what services send each other, each kind made in one place, so that it is the same whoever sends it."""

from shared.broker.publisher import Publication
from shared.broker.topology import ExchangeName
from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import DEAD_ROUTING_KEY, DeadLetterHeaders
from shared.contracts.events import MailingEvent


def send_command(command: SendCommand) -> Publication:
    """Ask the senders for an attempt, at once."""
    return Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, command.to_body())


def dead_letter(command: SendCommand, *, reason: str, client_id: int) -> Publication:
    """The entry of a message that is failed or unknown; `command` is that of its last attempt."""
    headers = DeadLetterHeaders(reason, command.mailing_id, client_id)
    return Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, command.to_body(), headers.as_headers())


def parked_body(body: bytes, *, reason: str) -> Publication:
    """The entry of a body that nobody can parse, as it came."""
    return Publication(ExchangeName.DEAD, DEAD_ROUTING_KEY, body, DeadLetterHeaders(reason, parked=True).as_headers())


def event(happened: MailingEvent) -> Publication:
    """Tell whoever wants to know."""
    return Publication(ExchangeName.MAILINGS, happened.routing_key, happened.to_body())
