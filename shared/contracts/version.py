"""What every message on the broker has in common: frozen, versioned by its routing key, checked on arrival."""

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import MailrunError


class Unparseable(MailrunError):
    """A body is not what its routing key promises; the text says why, without the body."""


class Contract(BaseModel):
    """A frozen body. Unknown fields are ignored, so that a newer publisher may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    def to_body(self) -> bytes:
        """The JSON that goes over the wire; fields that are None are left out."""
        return self.model_dump_json(exclude_none=True).encode()


def describe(error: ValidationError) -> str:
    """Why a body did not fit, in one line without any of its content."""
    problems = (
        f"{'/'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors(include_input=False)
    )
    return "; ".join(problems)[:500]
