"""Pages: keyset pages, whose cursor is the place after which the next page begins.

A cursor is opaque to clients: base64url of a small JSON object. It is checked as strictly as any other input.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Generic, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, Field

from services.api.identifiers import LARGEST_ID
from services.api.problems import Refusal, invalid

MAX_LIMIT = 500
DEFAULT_LIMIT = 50
MAX_CURSOR_CHARACTERS = 4_000
CURSOR = re.compile(r"[A-Za-z0-9_-]+")
LIMIT = re.compile(r"[0-9]{1,9}")

Item = TypeVar("Item")
Found = TypeVar("Found")


def _parse_limit(text: object) -> object:
    if isinstance(text, str):
        if not LIMIT.fullmatch(text):
            raise ValueError(f"must be a whole number from 1 to {MAX_LIMIT}")
        return int(text)
    return text


class PageQuery(BaseModel):
    """What every list takes."""

    limit: Annotated[int, BeforeValidator(_parse_limit)] = Field(
        DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="most items of the page"
    )
    cursor: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_CURSOR_CHARACTERS,
        description="`next_cursor` of the page before; absent for the first page",
        json_schema_extra={"pattern": f"^{CURSOR.pattern}$"},
    )


class Page(BaseModel, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None = Field(description="where the next page begins; null when there is none")


def encode_cursor(place: Mapping[str, int | str]) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(orjson.dumps(dict(place))).decode().rstrip("=")


def decode_cursor(cursor: str, **shape: type[int] | type[str]) -> dict[str, int | str]:
    """The place of a cursor.

    Args:
        shape: names and types that the place must have; numbers are ids.

    Raises:
        Refusal: 422 `invalid_cursor`, it is not one of this list.
    """
    place = _decoded(cursor)
    if not isinstance(place, dict) or place.keys() != shape.keys():
        raise _nonsense()
    for name, kind in shape.items():
        value = place[name]
        if type(value) is not kind or (isinstance(value, int) and not 1 <= value <= LARGEST_ID):
            raise _nonsense()
    return place


def id_after(query: PageQuery) -> int | None:
    """The id after which a page begins, in a list in the order of its ids.

    Raises:
        Refusal: 422 `invalid_cursor`.
    """
    return int(decode_cursor(query.cursor, id=int)["id"]) if query.cursor is not None else None


def cut(found: Sequence[Found], limit: int) -> tuple[Sequence[Found], Found | None]:
    """The items of a page of which one more was looked for, and its last item if there is a page after it."""
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, None)


def _decoded(cursor: str) -> object:
    if not CURSOR.fullmatch(cursor):
        raise _nonsense()
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise _nonsense() from error


def _nonsense() -> Refusal:
    return invalid("/cursor", "is not a cursor of this list", code="invalid_cursor")
