"""The wire, byte for byte: what each routing key carries is a file, and both directions agree with it.

A change that breaks one of these needs a new version, hence a new routing key: what lies in a queue was written by
the program before.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.contracts.commands import SendCommand
from shared.contracts.dead_letters import DEAD_ROUTING_KEY, DeadLetterHeaders
from shared.contracts.events import MailingEvent, MailingEventKind
from shared.contracts.version import Contract

GOLDEN = Path(__file__).with_name("golden")
REQUEST_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
AT = datetime(2026, 3, 29, 1, 59, 59, 7_000, tzinfo=UTC)


def of_kind(kind: MailingEventKind) -> MailingEvent:
    """What is in the file of this kind. A completion is nobody's request."""
    request_id = None if kind is MailingEventKind.COMPLETED else REQUEST_ID
    return MailingEvent(kind=kind, mailing_id=42, at=AT, request_id=request_id)


BODIES: dict[str, Contract] = {
    SendCommand.ROUTING_KEY: SendCommand(
        message_id=2**53 + 1, mailing_id=42, attempt=3, recover=True, request_id=REQUEST_ID
    ),
    f"{SendCommand.ROUTING_KEY}.least": SendCommand(message_id=1, mailing_id=1, attempt=1),
    **{of_kind(kind).routing_key: of_kind(kind) for kind in MailingEventKind},
}

HEADERS = {
    f"{DEAD_ROUTING_KEY}.headers": DeadLetterHeaders("provider_refused", mailing_id=42, client_id=7),
    f"{DEAD_ROUTING_KEY}.parked.headers": DeadLetterHeaders("body: Invalid JSON", parked=True),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_contract_is_written_as_its_file_says(name: str) -> None:
    assert BODIES[name].to_body() == written(name).encode()


@pytest.mark.parametrize("name", BODIES)
def test_a_file_is_read_as_its_contract(name: str) -> None:
    contract = BODIES[name]
    assert type(contract).from_body(written(name).encode()) == contract


@pytest.mark.parametrize("name", HEADERS)
def test_the_headers_of_a_dead_letter_are_written_as_their_file_says(name: str) -> None:
    assert HEADERS[name].as_headers() == json.loads(written(name))


def test_every_file_is_some_contract_and_every_contract_has_its_file() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == BODIES.keys() | HEADERS.keys()


def written(name: str) -> str:
    return (GOLDEN / f"{name}.json").read_text(encoding="utf-8").rstrip("\n")
