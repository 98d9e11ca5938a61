"""HTTP protocol: what is no HTTP, or too large a head of it, never reaches the application. It gets a problem, too."""

import sys
import uuid

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from services.api.problems import PROBLEM_MEDIA_TYPE, Refusal, problem_response

MAX_HEAD_BYTES = 64 * 1_024
REFUSALS = {
    431: Refusal(431, "head_too_large", f"request line and headers have at most {MAX_HEAD_BYTES} bytes"),
    501: Refusal(400, "transfer_coding_unknown", "of the transfer codings only chunked is understood"),
}
MALFORMED = Refusal(400, "malformed_request", "this is not HTTP/1.1")

log = structlog.get_logger()


class ProblemProtocol(H11Protocol):
    """uvicorn's own, but for the answer to what h11 cannot read."""

    def send_400_response(self, msg: str) -> None:
        """Answer and close. Called by uvicorn while it handles h11's error, which knows the fitting status."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # an answer is under way already
            self.transport.close()
            return
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        request_id = uuid.uuid4().hex
        refusal = REFUSALS.get(hint, MALFORMED)
        body = bytes(problem_response({"type": "http", "state": {"request_id": request_id}}, refusal).body)
        log.info(
            "request.unreadable", status=refusal.status_code, why=str(error).partition(":")[0], request_id=request_id
        )
        headers = {
            "content-type": PROBLEM_MEDIA_TYPE,
            "content-length": str(len(body)),
            "connection": "close",
            "x-request-id": request_id,
        }
        for event in (
            h11.Response(status_code=refusal.status_code, headers=list(headers.items())),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
