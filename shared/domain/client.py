"""Client: a recipient, and the rules of each of its fields."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from shared.errors import InvalidInput

PHONE = re.compile(r"7[0-9]{10}")
OPERATOR_CODE = re.compile(r"[0-9]{3}")
ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
DEFAULT_TIMEZONE = "Europe/Moscow"
MAX_TAGS = 100
MAX_TAG_CHARACTERS = 100
MAX_ATTRIBUTES = 100
MAX_ATTRIBUTE_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class Client:
    """A recipient of messages.

    `phone` is 11 digits, 7XXXXXXXXXX, unique; `timezone` is an IANA name; `opted_out_at` is None for whoever
    may be written to.
    """

    id: int
    phone: str
    operator_code: str
    tags: tuple[str, ...]
    timezone: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    opted_out_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None


def check_phone(phone: str) -> str:
    """The phone, if it is 7 and ten more ASCII digits.

    Raises:
        InvalidInput: it is anything else.
    """
    if not PHONE.fullmatch(phone):
        raise InvalidInput("phone", "a phone is 11 digits that begin with 7: 7XXXXXXXXXX")
    return phone


def operator_code_of(phone: str) -> str:
    """Digits 2 to 4 of a phone."""
    return phone[1:4]


def check_operator_code(code: str, field_name: str = "operator_code") -> str:
    """The code, if it is three ASCII digits.

    Raises:
        InvalidInput: it is anything else.
    """
    if not OPERATOR_CODE.fullmatch(code):
        raise InvalidInput(field_name, "an operator code is three digits")
    return code


def check_text(field_name: str, text: str, *, max_characters: int) -> str:
    """The text, if every store and every wire can carry it: valid Unicode, no NUL, not blank, not too long.

    Raises:
        InvalidInput: it is not.
    """
    if not text.strip():
        raise InvalidInput(field_name, "must not be blank")
    if len(text) > max_characters:
        raise InvalidInput(field_name, f"at most {max_characters} characters, this has {len(text)}")
    if "\0" in text:
        raise InvalidInput(field_name, "must not contain a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(field_name, "must not contain a lone surrogate")
    return text


def check_tags(tags: Iterable[str], field_name: str = "tags") -> tuple[str, ...]:
    """The tags without repetition, in the order given.

    Raises:
        InvalidInput: one is blank, too long or cannot be stored (the field names its place in what was given), or
            more than `MAX_TAGS` are different.
    """
    unique = tuple(
        dict.fromkeys(
            check_text(f"{field_name}/{place}", tag, max_characters=MAX_TAG_CHARACTERS)
            for place, tag in enumerate(tags)
        )
    )
    if len(unique) > MAX_TAGS:
        raise InvalidInput(field_name, f"at most {MAX_TAGS} tags, these are {len(unique)}")
    return unique


@lru_cache(maxsize=1)
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # Debian's link to whatever the machine is set to


def check_timezone(name: str) -> str:
    """The name, if it is one of the IANA database.

    Raises:
        InvalidInput: it is not.
    """
    if name not in _timezones():
        raise InvalidInput("timezone", "not a name of the IANA time zone database, such as Europe/Moscow")
    return name


@lru_cache(maxsize=1_024)
def zone(name: str) -> ZoneInfo:
    """The zone of a name that has been checked."""
    return ZoneInfo(name)


def check_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes, if each name can stand in a placeholder and each value can be stored.

    Raises:
        InvalidInput: one cannot, or there are more than `MAX_ATTRIBUTES`.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidInput("attributes", f"at most {MAX_ATTRIBUTES} attributes")
    for name, value in attributes.items():
        if not ATTRIBUTE_NAME.fullmatch(name):
            raise InvalidInput("attributes", "a name is a letter or underscore, then letters, digits, underscores")
        if value:
            check_text(f"attributes/{name}", value, max_characters=MAX_ATTRIBUTE_CHARACTERS)
    return dict(attributes)


def mask_phone(phone: str) -> str:
    """A phone as logs may show it: 7900***4567."""
    return f"{phone[:4]}***{phone[-4:]}"
