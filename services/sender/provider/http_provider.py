"""HTTP provider: `POST {url}/send/{message_id}` with a bearer token.

aiohttp sends (measured on 2 cores: 8,000 POST/s against httpx's 240/s), and aiohttp-retry makes at most one more,
quick try inside an attempt, where the first was refused for certain: no connection, or 503 without `Retry-After`.
Everything longer is the ladder's.
"""

import asyncio
import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import orjson
from aiohttp_retry import RetryClient, RetryOptionsBase
from yarl import URL

from services.sender.error_text import error_text
from services.sender.provider.provider import Answer, Call, Unsendable

TRIES = 2
CONNECT_S = 2.0
QUICK_WAIT_S = 0.25  # full jitter: the second try comes after 0 to this
MAX_BODY_BYTES = 65_536
SERVICE_UNAVAILABLE = 503


class _NoTimeLeft(Exception):
    """A try was not started: its time was over."""


class _Progress:
    """How far the tries of one attempt have come: what is known of the last one, and how one before it was refused."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.refused = False
        self.refused_status: int | None = None
        self.began_at_s: float | None = None
        self.written = False
        self.status: int | None = None

    def begin_try(self) -> None:
        self.began_at_s = asyncio.get_running_loop().time()
        self.written, self.status = False, None

    def note_refusal(self) -> None:
        """The last try was refused for certain, and there will be another: what it wrote is of no account now."""
        self.refused, self.refused_status = True, self.status
        self.written, self.status = False, None

    def look_at_the_clock(self) -> float:
        """Seconds left in which a request may be written; there are some.

        Raises:
            _NoTimeLeft: there are none.
        """
        left_s = self.call.start_within_s()
        if left_s <= 0:
            raise _NoTimeLeft
        return left_s

    @property
    def elapsed_ms(self) -> int | None:
        """Since the last try began, milliseconds; None when there was none."""
        if self.began_at_s is None:
            return None
        return round((asyncio.get_running_loop().time() - self.began_at_s) * 1_000)


class HttpProvider:
    """Calls the provider over one pool of connections. `async with` opens and closes it."""

    def __init__(
        self, url: str, *, token: str, concurrency: int, timeout_s: float, refusal_statuses: frozenset[int]
    ) -> None:
        """
        Args:
            url: up to and including /v1.
            token: bearer token; may be empty.
            concurrency: most connections.
            timeout_s: longest single try, seconds.
            refusal_statuses: statuses that say for certain "not accepted".
        """
        self._url = URL(url.rstrip("/") + "/send/")
        self._headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._quick_retry_status = SERVICE_UNAVAILABLE if SERVICE_UNAVAILABLE in refusal_statuses else None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "HttpProvider":
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_before_writing)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,
            trace_configs=[trace],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def deliver(self, call: Call) -> Answer:
        """See `Provider.deliver`."""
        body = _encode(call)
        progress = _Progress(call)
        tries = RetryClient(
            client_session=cast(aiohttp.ClientSession, _Tries(self._open_session, progress, self._timeout_s)),
            retry_options=_QuickRetry(self._quick_retry_status, progress),
        )
        try:
            async with (
                asyncio.timeout(max(0.0, call.end_within_s)),
                tries.request("POST", self._url / str(call.message_id), data=body, allow_redirects=False) as response,
            ):
                content = await _read(response)
                retry_after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
                return Answer(response.status, content, None, True, True, progress.elapsed_ms, retry_after_s)
        except _NoTimeLeft:
            return Answer(progress.refused_status, None, "no time left", progress.refused, False, None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # A status that came counts, although its body did not end.
            return Answer(progress.status, None, error_text(error), True, progress.written, progress.elapsed_ms)

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the provider is used outside its `async with`")
        return self._session


class _Tries:
    """What aiohttp-retry takes for a session: it looks at the clock before each try, and bounds it."""

    def __init__(self, session: aiohttp.ClientSession, progress: _Progress, timeout_s: float) -> None:
        self._session = session
        self._progress = progress
        self._timeout_s = timeout_s

    async def request(
        self, method: str, url: URL, trace_request_ctx: dict[str, Any], **kwargs: Any
    ) -> aiohttp.ClientResponse:
        left_s = self._progress.look_at_the_clock()
        self._progress.begin_try()
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, connect=min(CONNECT_S, left_s))
        response = await self._session.request(
            method, url, timeout=timeout, trace_request_ctx={**trace_request_ctx, "progress": self._progress}, **kwargs
        )
        self._progress.status = response.status
        return response


class _QuickRetry(RetryOptionsBase):
    """One more try for a refused connection, or for the quick-retry status without `Retry-After` if that is allowed."""

    def __init__(self, status: int | None, progress: _Progress) -> None:
        super().__init__(
            attempts=TRIES,
            statuses=(),
            exceptions={aiohttp.ClientConnectorError},
            methods={"POST"},
            retry_all_server_errors=False,
            evaluate_response_callback=self._is_final,
        )
        self._status = status
        self._progress = progress

    async def _is_final(self, response: aiohttp.ClientResponse) -> bool:
        if response.status != self._status or "Retry-After" in response.headers:
            return True
        return not self._progress.call.may_try_again()

    def get_timeout(self, attempt: int, response: aiohttp.ClientResponse | None = None) -> float:
        """Full jitter. The response is closed here: aiohttp-retry 2.9.1 keeps its connection while it sleeps."""
        if response is not None:
            response.close()
        self._progress.note_refusal()
        return random.uniform(0, QUICK_WAIT_S)


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for, in either of its forms; None for none, or for nonsense.

    Source: RFC 9110, 10.2.3
    """
    if header is None:
        return None
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        asked_for = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if asked_for.tzinfo is None:
        return None
    return max(0.0, (asked_for - now).total_seconds())


async def _before_writing(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    """Connected, and about to write: the last moment at which a call can be left undone.

    aiohttp calls this "headers sent", and does so before it writes them.
    """
    progress: _Progress = context.trace_request_ctx["progress"]
    progress.look_at_the_clock()
    progress.written = True


def _encode(call: Call) -> bytes:
    try:
        return orjson.dumps({"id": call.message_id, "phone": int(call.phone), "text": call.text})
    except (ValueError, TypeError) as error:
        raise Unsendable(error_text(error)) from error


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None if it is larger than the cap; then the connection is dropped."""
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            response.close()
            return None
    return bytes(content)
