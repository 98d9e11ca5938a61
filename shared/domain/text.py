"""Text of a mailing: placeholders, and what becomes of them for one client.

`{name}` is replaced from the client's attributes, `{name|fallback}` by the fallback where the client has none;
`{{` and `}}` are braces.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shared.domain.client import ATTRIBUTE_NAME, check_text
from shared.errors import InvalidInput

MAX_TEXT_CHARACTERS = 2_000
MAX_RENDERED_CHARACTERS = 4_000
"""Of the text for one client. Attributes of a thousand characters, each used many times, could make it a megabyte."""

PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class MissingAttribute(Exception):
    """The client lacks an attribute that the text uses without a fallback; `name` is its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class TextTooLong(Exception):
    """With the client's attributes put in, the text is longer than `MAX_RENDERED_CHARACTERS`: it has `characters`."""

    def __init__(self, characters: int) -> None:
        super().__init__(characters)
        self.characters = characters


@dataclass(frozen=True, slots=True)
class Placeholder:
    """An attribute to put in; `fallback` is None when the text has none."""

    name: str
    fallback: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: literal pieces and placeholders in their order."""

    pieces: tuple[str | Placeholder, ...]

    @property
    def attributes(self) -> frozenset[str]:
        """The names of the attributes that the text uses."""
        return frozenset(piece.name for piece in self.pieces if isinstance(piece, Placeholder))

    def render(self, attributes: Mapping[str, str]) -> str:
        """The text for one client, of at most `MAX_RENDERED_CHARACTERS`.

        Raises:
            MissingAttribute: an attribute without a fallback is absent or empty.
            TextTooLong: it is longer.
        """
        values = [
            piece if isinstance(piece, str) else _value(piece, attributes.get(piece.name)) for piece in self.pieces
        ]
        characters = sum(map(len, values))
        if characters > MAX_RENDERED_CHARACTERS:
            raise TextTooLong(characters)
        return "".join(values)


def _value(placeholder: Placeholder, value: str | None) -> str:
    if value:
        return value
    if placeholder.fallback is None:
        raise MissingAttribute(placeholder.name)
    return placeholder.fallback


def parse_text(text: str) -> Template:
    """The template that a text stands for.

    Raises:
        InvalidInput: blank, longer than `MAX_TEXT_CHARACTERS`, not storable, or a malformed placeholder.
    """
    check_text("text", text, max_characters=MAX_TEXT_CHARACTERS)
    pieces: list[str | Placeholder] = []
    for match in PIECE.finditer(text):
        piece = match.group()
        if piece in ("{{", "}}"):
            pieces.append(piece[0])
        elif piece in ("{", "}"):
            raise InvalidInput("text", f'a single "{piece}" at character {match.start() + 1}; write it twice')
        elif piece.startswith("{"):
            pieces.append(_placeholder(match.group(1)))
        else:
            pieces.append(piece)
    return Template(tuple(pieces))


def _placeholder(inside: str) -> Placeholder:
    name, bar, fallback = inside.partition("|")
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise InvalidInput("text", f'"{{{inside}}}" is no placeholder: {{name}} or {{name|fallback}}')
    return Placeholder(name, fallback if bar else None)
