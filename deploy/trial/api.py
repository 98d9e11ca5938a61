"""The REST API, as far as the trial needs it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

PAGE_ITEMS = 500
REQUEST_TIMEOUT_S = 30
MAX_TRIES = 5
BETWEEN_TRIES_S = 1


class ApiFailed(Exception):
    """The API did not do what it was asked; the message says what it answered."""


class PhoneTaken(Exception):
    """Another client has this phone."""


class MailrunApi:
    """A gateway to one API. Use it as a context."""

    def __init__(self, url: str) -> None:
        """`url`: up to before "/api/v1"."""
        self._url = f"{url.rstrip('/')}/api/v1"
        self._http = httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False)

    async def create_client(self, body: Mapping[str, object]) -> int:
        """The new client's id.

        Raises:
            PhoneTaken: another client has the phone.
            ApiFailed: the API refused otherwise, or cannot be reached.
        """
        return int((await self._ask("POST", "/clients", body))["id"])

    async def create_mailing(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The mailing as the API answers it; the same exceptions as the other requests."""
        return await self._ask("POST", "/mailings", body)

    async def read_mailing(self, mailing_id: int) -> dict[str, Any]:
        return await self._ask("GET", f"/mailings/{mailing_id}")

    async def read_statistics(self, mailing_id: int) -> dict[str, Any]:
        return await self._ask("GET", f"/statistics/{mailing_id}")

    async def read_messages(self, mailing_id: int) -> AsyncIterator[dict[str, Any]]:
        """Every message of a mailing, page by page."""
        cursor = None
        while True:
            parameters = {"limit": str(PAGE_ITEMS)} | ({"cursor": cursor} if cursor else {})
            page = await self._ask("GET", f"/mailings/{mailing_id}/messages", parameters=parameters)
            for message in page["items"]:
                yield message
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        parameters: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """One request, tried again while the API says that its store is away."""
        for number in range(1, MAX_TRIES + 1):
            try:
                answer = await self._http.request(method, f"{self._url}{path}", json=body, params=parameters)
            except httpx.HTTPError as error:
                raise ApiFailed(f"{method} {self._url}{path}: {error or type(error).__name__}") from error
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or number == MAX_TRIES:
                break
            await asyncio.sleep(BETWEEN_TRIES_S)
        if answer.is_success:
            return dict(answer.json())
        if answer.status_code == HTTPStatus.CONFLICT and "phone_taken" in answer.text:
            raise PhoneTaken(body["phone"] if body else path)
        raise ApiFailed(f"{method} {path} was answered with {answer.status_code}: {answer.text[:500]}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
