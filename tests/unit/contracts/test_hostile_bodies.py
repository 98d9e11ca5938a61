"""Whatever lies in a queue, reading it gives a contract or says that it is none, and quotes nothing of it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.contracts.commands import SendCommand
from shared.contracts.events import MailingEvent, MailingEventKind
from shared.contracts.version import LARGEST_BODY_BYTES, Contract, Unparseable

COMMAND = {"message_id": 5, "mailing_id": 7, "attempt": 1}
EVENT = {"kind": "paused", "mailing_id": 7, "at": "2026-01-01T00:00:00.000Z"}

CHANGED_COMMANDS: dict[str, dict[str, Any]] = {
    "id as text": {"message_id": "5"},
    "id as a truth": {"message_id": True},
    "id as a fraction": {"message_id": 5.0},
    "id missing": {"message_id": None},
    "id zero": {"message_id": 0},
    "id negative": {"mailing_id": -7},
    "id beyond int64": {"message_id": 2**63},
    "id of a thousand digits": {"message_id": 10**1_000},
    "attempt zero": {"attempt": 0},
    "attempt beyond reason": {"attempt": 1_000_001},
    "attempt not a number": {"attempt": float("nan")},
    "attempt infinite": {"attempt": float("inf")},
    "recover as a number": {"recover": 1},
    "recover as text": {"recover": "true"},
    "request too long": {"request_id": "r" * 201},
    "request as a list": {"request_id": ["r"]},
}

BODIES = {
    "nothing": b"",
    "ten megabytes": b"[" * 10_000_000,
    "ten megabytes that begin well": json.dumps(COMMAND).encode() + b" " * 10_000_000,
    "not UTF-8": b'{"message_id":5,"mailing_id":7,"attempt":1,"request_id":"\xff\xfe"}',
    "a lone surrogate": b'{"message_id":5,"mailing_id":7,"attempt":1,"request_id":"\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(COMMAND).encode(),
    "UTF-16": json.dumps(COMMAND).encode("utf-16"),
    "nested lists": b"[" * 2_000 + b"]" * 2_000,
    "nested objects": b'{"a":' * 600 + b"1" + b"}" * 600,
    "null": b"null",
    "a list": json.dumps([COMMAND]).encode(),
    "text": b'"message"',
    "two objects": json.dumps(COMMAND).encode() * 2,
    "a NUL behind": json.dumps(COMMAND).encode() + b"\0",
    "an object cut short": json.dumps(COMMAND).encode()[:-5],
}


@pytest.mark.parametrize("change", CHANGED_COMMANDS.values(), ids=CHANGED_COMMANDS)
def test_a_command_with_a_wrong_field_is_unparseable(change: dict[str, Any]) -> None:
    with pytest.raises(Unparseable):
        SendCommand.from_body(json.dumps(COMMAND | change).encode())


@pytest.mark.parametrize("contract", [SendCommand, MailingEvent])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_of_another_form_is_unparseable(body: bytes, contract: type[Contract]) -> None:
    with pytest.raises(Unparseable):
        contract.from_body(body)


@pytest.mark.parametrize(
    "change",
    [
        {"at": "2026-01-01T00:00:00"},  # of no zone: nobody knows when
        {"at": 1_767_225_600},
        {"at": "yesterday"},
        {"kind": "exploded"},
        {"mailing_id": "7"},
    ],
)
def test_an_event_with_a_wrong_field_is_unparseable(change: dict[str, Any]) -> None:
    with pytest.raises(Unparseable):
        MailingEvent.from_body(json.dumps(EVENT | change).encode())


def test_fields_of_a_newer_publisher_are_ignored() -> None:
    newer = {"priority": "high", "attempts": [{"deep": {"er": None}}]}
    assert SendCommand.from_body(json.dumps(COMMAND | newer).encode()) == SendCommand(**COMMAND)
    assert MailingEvent.from_body(json.dumps(EVENT | newer).encode()).kind is MailingEventKind.PAUSED


def test_a_body_may_be_as_large_as_the_limit_and_no_larger() -> None:
    body = json.dumps(COMMAND).encode()
    assert SendCommand.from_body(body.ljust(LARGEST_BODY_BYTES)) == SendCommand(**COMMAND)
    with pytest.raises(Unparseable, match=str(LARGEST_BODY_BYTES + 1)):
        SendCommand.from_body(body.ljust(LARGEST_BODY_BYTES + 1))


def test_the_largest_command_fits_its_limit() -> None:
    largest = SendCommand(
        message_id=2**63 - 1, mailing_id=2**63 - 1, attempt=1_000_000, recover=True, request_id="\x01" * 200
    )
    assert SendCommand.from_body(largest.to_body()) == largest


def test_the_reason_is_short_and_quotes_nothing() -> None:
    secret = "79001234567"
    with pytest.raises(Unparseable) as told:
        SendCommand.from_body(json.dumps({"message_id": secret, "mailing_id": secret, "attempt": secret}).encode())
    assert secret not in str(told.value)
    assert "message_id" in str(told.value)
    assert len(str(told.value)) <= 500


def test_what_was_read_cannot_be_changed() -> None:
    command = SendCommand.from_body(json.dumps(COMMAND).encode())
    with pytest.raises(ValidationError, match="frozen"):
        command.attempt = 2  # type: ignore[misc]  # that it is refused is what is tested


def test_an_event_is_written_in_utc_with_milliseconds() -> None:
    moscow = datetime.fromisoformat("2026-01-01T03:00:00.123456+03:00")
    event = MailingEvent(kind=MailingEventKind.PAUSED, mailing_id=7, at=moscow)
    assert json.loads(event.to_body())["at"] == "2026-01-01T00:00:00.123Z"
    with pytest.raises(ValidationError, match="timezone"):
        MailingEvent(kind=MailingEventKind.PAUSED, mailing_id=7, at=moscow.replace(tzinfo=None))
    assert MailingEvent.from_body(event.to_body()).at == datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@example(b'{"message_id":5,"mailing_id":7,"attempt":1}')
def test_any_bytes_are_a_contract_or_unparseable(body: bytes) -> None:
    for contract in (SendCommand, MailingEvent):
        try:
            read = contract.from_body(body)
        except Unparseable:
            continue
        assert contract.from_body(read.to_body()) == read


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*SendCommand.model_fields, *MailingEvent.model_fields]), JSON))
def test_any_values_are_a_contract_or_unparseable(fields: dict[str, Any]) -> None:
    body = json.dumps(fields).encode()
    for contract in (SendCommand, MailingEvent):
        try:
            read = contract.from_body(body)
        except Unparseable:
            continue
        assert contract.from_body(read.to_body()) == read


@given(
    st.builds(
        SendCommand,
        message_id=st.integers(1, 2**63 - 1),
        mailing_id=st.integers(1, 2**63 - 1),
        attempt=st.integers(1, 1_000_000),
        recover=st.booleans(),
        request_id=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    )
)
def test_a_command_comes_back_as_it_went(command: SendCommand) -> None:
    assert SendCommand.from_body(command.to_body()) == command
