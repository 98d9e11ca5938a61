"""Commands: imperatives that one service gives another."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.contracts.version import Contract

Int64Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


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
