"""What every message on the broker has in common: frozen, versioned by its routing key, checked on arrival."""

from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import MailrunError

LARGEST_BODY_BYTES = 4_096  # a body is 100 to 200 bytes; what is larger was not published by Mailrun


class Unparseable(MailrunError):
    """A body is not what its routing key promises; the text says why, without the body."""


class Contract(BaseModel):
    """A frozen body. Unknown fields are ignored, so that a newer publisher may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    def to_body(self) -> bytes:
        """The JSON that goes over the wire; fields that are None are left out."""
        return self.model_dump_json(exclude_none=True).encode()

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """What a body says.

        Raises:
            Unparseable: it is of another form, or larger than `LARGEST_BODY_BYTES`.
        """
        if len(body) > LARGEST_BODY_BYTES:
            raise Unparseable(f"a body of {len(body)} bytes, more than {LARGEST_BODY_BYTES}")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise Unparseable(describe(error)) from error


def describe(error: ValidationError) -> str:
    """Why a body did not fit, in one line without any of its content."""
    problems = (
        f"{'/'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors(include_input=False)
    )
    return "; ".join(problems)[:500]
