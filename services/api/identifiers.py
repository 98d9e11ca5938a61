"""Identifiers: the ids of clients, mailings and messages, as paths and queries carry them."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import BeforeValidator, Field

LARGEST_ID = 2**63 - 1
DIGITS = re.compile(r"[1-9][0-9]{0,18}")


def parse_id(text: object) -> int:
    """The id that a text holds.

    Raises:
        ValueError: it holds anything but the digits of an int64 above 0.
    """
    if not isinstance(text, str) or not DIGITS.fullmatch(text) or int(text) > LARGEST_ID:
        raise ValueError(f"must be a whole number from 1 to {LARGEST_ID}")
    return int(text)


PathId = Annotated[int, BeforeValidator(parse_id), Path(ge=1, le=LARGEST_ID, examples=[1])]
"""An id in a path. One that cannot exist names nothing: 404."""

QueryId = Annotated[int, BeforeValidator(parse_id), Field(ge=1, le=LARGEST_ID, examples=[1])]
"""An id in a query. One that cannot exist is a mistake: 422."""
