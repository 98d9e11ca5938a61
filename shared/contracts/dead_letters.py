"""Dead letters: the headers that tell an operator, in the broker's own console, why an entry lies there.

The body is the send command of the last attempt; of a parked body, the body as it came.
"""

from dataclasses import dataclass

DEAD_ROUTING_KEY = "message.dead.v1"

REASON_HEADER = "x-mailrun-reason"
PARKED_HEADER = "x-mailrun-parked"
MAILING_HEADER = "x-mailrun-mailing-id"
CLIENT_HEADER = "x-mailrun-client-id"


@dataclass(frozen=True, slots=True)
class DeadLetterHeaders:
    """Why an entry is a dead letter, and whose it is; a parked body belongs to nobody."""

    reason: str
    mailing_id: int | None = None
    client_id: int | None = None
    parked: bool = False

    def as_headers(self) -> dict[str, str | int | bool]:
        headers: dict[str, str | int | bool] = {REASON_HEADER: self.reason, PARKED_HEADER: self.parked}
        if self.mailing_id is not None:
            headers[MAILING_HEADER] = self.mailing_id
        if self.client_id is not None:
            headers[CLIENT_HEADER] = self.client_id
        return headers
