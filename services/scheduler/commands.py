"""Commands that a scheduler gives, and the dead letters that it adds, from what it has in hand."""

from shared.broker import publications
from shared.broker.publisher import Publication
from shared.contracts.commands import SendCommand
from shared.domain.mailing import Mailing
from shared.store.message_documents import Standing


def send_command(message_id: int, mailing: Mailing, *, attempt: int, recover: bool = False) -> Publication:
    """Ask the senders for an attempt."""
    return publications.send_command(
        SendCommand(
            message_id=message_id,
            mailing_id=mailing.id,
            attempt=attempt,
            recover=recover,
            request_id=mailing.request_id,
        )
    )


def dead_letter(standing: Standing, *, reason: str) -> Publication:
    """The entry of a message that is failed or unknown."""
    command = SendCommand(
        message_id=standing.id, mailing_id=standing.mailing_id, attempt=max(1, standing.attempt), recover=True
    )
    return publications.dead_letter(command, reason=reason, client_id=standing.client_id)
