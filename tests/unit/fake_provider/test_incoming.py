"""What counts as a call of the protocol."""

import pytest

from services.fake_provider.incoming import MalformedRequest, SendRequest, read_message_id, read_send_request


@pytest.mark.parametrize("message_id", [0, 1, 2**63 - 1, -(2**63)])
def test_a_sound_call_is_read(message_id: int) -> None:
    body = b'{"id": %d, "phone": 79001234567, "text": "", "more": 1}' % message_id
    assert read_send_request(str(message_id), body) == SendRequest(message_id, 79001234567, "")


@pytest.mark.parametrize("raw", ["", "07", "+7", "7.0", "abc", "-0", " 7", "٧", "7/", str(2**63), "9" * 5000])
def test_only_a_canonical_int64_is_a_message_id(raw: str) -> None:
    assert read_message_id(raw) is None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"id": 7, "phone": 79001234567, "text": "\\ud800"}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"phone": 79001234567, "text": "x"}', "id must be an int64"),
        (b'{"id": "7", "phone": 79001234567, "text": "x"}', "id must be an int64"),
        (b'{"id": true, "phone": 79001234567, "text": "x"}', "id must be an int64"),
        (b'{"id": 9223372036854775808, "phone": 79001234567, "text": "x"}', "id must be an int64"),
        (b'{"id": 8, "phone": 79001234567, "text": "x"}', "id differs"),
        (b'{"id": 7, "text": "x"}', "phone"),
        (b'{"id": 7, "phone": "79001234567", "text": "x"}', "phone"),
        (b'{"id": 7, "phone": 7900123456.5, "text": "x"}', "phone"),
        (b'{"id": 7, "phone": 0, "text": "x"}', "phone"),
        (b'{"id": 7, "phone": 1000000000000000, "text": "x"}', "phone"),
        (b'{"id": 7, "phone": 79001234567}', "text"),
        (b'{"id": 7, "phone": 79001234567, "text": null}', "text"),
    ],
)
def test_what_breaks_the_protocol_is_named(body: bytes, problem: str) -> None:
    read = read_send_request("7", body)
    assert isinstance(read, MalformedRequest)
    assert problem in read.problem
    assert read.message_id == 7


def test_a_malformed_call_keeps_what_could_be_read() -> None:
    read = read_send_request("x", b'{"id": 7, "phone": 79001234567, "text": "Hello"}')
    assert isinstance(read, MalformedRequest)
    assert (read.message_id, read.phone, read.text) == (None, 79001234567, "Hello")
