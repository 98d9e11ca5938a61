"""HTTP provider: `POST {url}/send/{message_id}` with a bearer token.

aiohttp sends (measured on 2 cores: 8,000 POST/s against httpx's 240/s), and aiohttp-retry makes at most one more,
quick try inside an attempt, where the first was refused for certain: no connection, or 503 without `Retry-After`.
Everything longer is the ladder's.
"""

import math
import random
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import aiohttp
import orjson
from aiohttp.connector import Connection
from aiohttp_retry import RetryClient, RetryOptionsBase
from yarl import URL

from services.sender.error_text import error_text
from services.sender.provider.provider import Answer, Call, Unsendable

TRIES = 2
CONNECT_S = 2.0
LEAST_TIMEOUT_S = 0.001  # aiohttp takes 0 for "no timeout"
QUICK_WAIT_S = 0.25  # full jitter: the second try comes after 0 to this
MAX_BODY_BYTES = 65_536
SERVICE_UNAVAILABLE = 503


class _NoTimeLeft(Exception):
    """A try was not started: its time was over."""


class _Progress:
    """How far the tries of one attempt have come: what is known of the last one, and how one before it was refused."""

    def __init__(self, call: Call, now_s: float) -> None:
        self.call = call
        self.end_at_s = now_s + call.end_within_s
        self.refused = False
        self.refused_status: int | None = None
        self.began_at_s: float | None = None
        self.written = False
        self.status: int | None = None

    def begin_try(self, now_s: float) -> None:
        self.began_at_s = now_s
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
        return round((time.monotonic() - self.began_at_s) * 1_000)


_progress: ContextVar[_Progress] = ContextVar("progress")
"""Of the attempt that the current task makes: what lies between us and the writing of a request passes nothing on."""


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
        self._url = str(URL(url.rstrip("/") + "/send/"))
        self._headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._quick_retry_status = SERVICE_UNAVAILABLE if SERVICE_UNAVAILABLE in refusal_statuses else None
        self._session: aiohttp.ClientSession | None = None
        self._tries: RetryClient | None = None

    async def __aenter__(self) -> "HttpProvider":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, ttl_dns_cache=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,
            request_class=_Request,
        )
        tries = cast(aiohttp.ClientSession, _Tries(self._session, self._timeout_s))
        self._tries = RetryClient(client_session=tries, retry_options=_QuickRetry(self._quick_retry_status))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def deliver(self, call: Call) -> Answer:
        """See `Provider.deliver`."""
        if self._tries is None:
            raise RuntimeError("the provider is used outside its `async with`")
        body = _encode(call)
        progress = _Progress(call, time.monotonic())
        _progress.set(progress)
        try:
            url = URL(f"{self._url}{call.message_id}", encoded=True)
            async with self._tries.request("POST", url, data=body, allow_redirects=False) as response:
                content = await _read(response)
                retry_after = response.headers.get("Retry-After")
                retry_after_s = parse_retry_after(retry_after, datetime.now(UTC)) if retry_after else None
                return Answer(response.status, content, None, True, True, progress.elapsed_ms, retry_after_s)
        except _NoTimeLeft:
            return Answer(progress.refused_status, None, "no time left", progress.refused, False, None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # A status that came counts, although its body did not end.
            return Answer(progress.status, None, error_text(error), True, progress.written, progress.elapsed_ms)


class _Tries:
    """What aiohttp-retry takes for a session: it looks at the clock before each try, and bounds it."""

    def __init__(self, session: aiohttp.ClientSession, timeout_s: float) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._usual_timeout = _timeout(timeout_s, CONNECT_S)

    async def request(self, method: str, url: URL, **kwargs: Any) -> aiohttp.ClientResponse:
        progress = _progress.get()
        left_s = progress.look_at_the_clock()
        now_s = time.monotonic()
        progress.begin_try(now_s)
        whole_s = max(LEAST_TIMEOUT_S, progress.end_at_s - now_s)
        timeout = self._usual_timeout
        if whole_s < self._timeout_s or left_s < CONNECT_S:
            timeout = _timeout(min(whole_s, self._timeout_s), min(left_s, CONNECT_S))
        response = await self._session.request(method, url, timeout=timeout, **kwargs)
        progress.status = response.status
        return response


def _timeout(whole_s: float, connect_s: float) -> aiohttp.ClientTimeout:
    """Exact: aiohttp would round whatever is above five seconds up to a whole one."""
    return aiohttp.ClientTimeout(whole_s, connect_s, ceil_threshold=math.inf)


class _Request(aiohttp.ClientRequest):
    """A request that looks at the clock once more when it has its connection."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        await _before_writing()
        return await super().send(conn)


async def _before_writing() -> None:
    """Connected, and about to write: the last moment at which a call can be left undone."""
    progress = _progress.get()
    progress.look_at_the_clock()
    progress.written = True


class _QuickRetry(RetryOptionsBase):
    """One more try for a refused connection, or for the quick-retry status without `Retry-After` if that is allowed."""

    def __init__(self, status: int | None) -> None:
        super().__init__(
            attempts=TRIES,
            statuses=(),
            exceptions={aiohttp.ClientConnectorError},
            methods={"POST"},
            retry_all_server_errors=False,
            evaluate_response_callback=self._is_final,
        )
        self._status = status

    async def _is_final(self, response: aiohttp.ClientResponse) -> bool:
        if response.status != self._status or "Retry-After" in response.headers:
            return True
        return not _progress.get().call.may_try_again()

    def get_timeout(self, attempt: int, response: aiohttp.ClientResponse | None = None) -> float:
        """Full jitter. The response is closed here: aiohttp-retry 2.9.1 keeps its connection while it sleeps."""
        if response is not None:
            response.close()
        _progress.get().note_refusal()
        return random.uniform(0, QUICK_WAIT_S)


def parse_retry_after(header: str, now: datetime) -> float | None:
    """Seconds that a `Retry-After` asks for, in either of its forms; None for none, or for nonsense.

    Source: RFC 9110, 10.2.3
    """
    if header.strip().isascii() and header.strip().isdigit():
        return float(header)
    try:
        asked_for = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if asked_for.tzinfo is None:
        return None
    return max(0.0, (asked_for - now).total_seconds())


def _encode(call: Call) -> bytes:
    try:
        return orjson.dumps({"id": call.message_id, "phone": int(call.phone), "text": call.text})
    except (ValueError, TypeError) as error:
        raise Unsendable(error_text(error)) from error


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None if it is larger than the cap; then the connection is dropped."""
    if response.content_length is not None and response.content_length <= MAX_BODY_BYTES:
        return await response.read()
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            response.close()
            return None
    return bytes(content)
