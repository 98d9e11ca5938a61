"""Reading and checking the body of `POST /v1/send/{msgId}`; pure."""

import re
from dataclasses import dataclass

import orjson

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

MAX_PHONE = 10**15 - 1
"""A phone number has at most 15 digits. Source: ITU-T E.164."""

_CANONICAL_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0", re.ASCII)


@dataclass(frozen=True, slots=True)
class SendRequest:
    """A call as the provider's protocol wants it."""

    message_id: int
    phone: int
    text: str


@dataclass(frozen=True, slots=True)
class MalformedRequest:
    """A call that breaks the protocol, with as much of it as could be read."""

    message_id: int | None
    phone: int | None
    text: str | None
    problem: str


def read_message_id(raw: str) -> int | None:
    """The int64 that the last part of the path names, or None when it names none.

    Only the canonical form counts (`7`, not `07` or `+7`), so that one message has one address.
    """
    if _CANONICAL_INTEGER.fullmatch(raw) is None:
        return None
    number = int(raw)
    return number if INT64_MIN <= number <= INT64_MAX else None


def read_send_request(raw_message_id: str, body: bytes) -> SendRequest | MalformedRequest:
    """Check a call against the protocol; fields that the protocol does not know are ignored.

    Args:
        raw_message_id: the last part of the path.
        body: at most what the server takes in (1 MiB), as it came.
    """
    message_id = read_message_id(raw_message_id)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return MalformedRequest(message_id, None, None, f"the body is not JSON: {error}")
    if not isinstance(document, dict):
        return MalformedRequest(message_id, None, None, "the body is not a JSON object")

    body_id, phone, text = document.get("id"), document.get("phone"), document.get("text")
    # type() and not isinstance(): `true` is no integer here.
    sound_phone = phone if type(phone) is int and 0 < phone <= MAX_PHONE else None
    sound_text = text if type(text) is str else None

    if message_id is None:
        problem = "the message id in the path is not an int64"
    elif type(body_id) is not int or not INT64_MIN <= body_id <= INT64_MAX:
        problem = "id must be an int64"
    elif body_id != message_id:
        problem = "id differs from the message id in the path"
    elif sound_phone is None:
        problem = "phone must be an integer of 1 to 15 digits"
    elif sound_text is None:
        problem = "text must be a string"
    else:
        return SendRequest(message_id, sound_phone, sound_text)
    return MalformedRequest(message_id, sound_phone, sound_text, problem)
