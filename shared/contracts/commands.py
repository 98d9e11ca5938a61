"""Commands: imperatives that one service gives another."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, ValidationError

from shared.contracts.version import Contract, Unparseable, describe

Int64Id = Annotated[int, Field(ge=1, le=2**63 - 1)]

LARGEST_BODY_BYTES = 4_096  # a command is about 100 bytes; what is larger was not published by Mailrun


class SendCommand(Contract):
    """Make one attempt to deliver one message.

    Attributes:
        message_id: of the message, the same over all its attempts.
        mailing_id: of its mailing.
        attempt: 1-based number of the attempt that is asked for; the message is claimed only if it had one less.
        recover: whether the command may be all that is left of unfinished work, and so finishes what it finds.
        request_id: of the API request that brought it about, if one did.
    """

    ROUTING_KEY: ClassVar[str] = "message.send.v1"

    message_id: Int64Id
    mailing_id: Int64Id
    attempt: Annotated[int, Field(ge=1, le=1_000_000)]
    recover: bool = False
    request_id: Annotated[str, Field(max_length=200)] | None = None

    @classmethod
    def from_body(cls, body: bytes) -> Self:
        """The command in a body.

        Raises:
            Unparseable: it is none.
        """
        if len(body) > LARGEST_BODY_BYTES:
            raise Unparseable(f"body of {len(body)} bytes, a command has at most {LARGEST_BODY_BYTES}")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise Unparseable(describe(error)) from error
