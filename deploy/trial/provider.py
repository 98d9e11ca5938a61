"""The fake provider's other side: its ledger, and its faults."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

PAGE_ENTRIES = 5_000
REQUEST_TIMEOUT_S = 30


class ProviderFailed(Exception):
    """The fake provider cannot be reached, or is none; the message says what it answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the ledger.

    Attributes:
        message_id, phone, text: as the provider read them, None where it could not.
        accepted: whether the provider would deliver the message.
    """

    message_id: int | None
    phone: int | None
    text: str | None
    accepted: bool


class FakeProviderGateway:
    """A gateway to one fake provider. Use it as a context."""

    def __init__(self, url: str) -> None:
        """`url`: of the fake provider, with or without the "/v1" that the senders need."""
        self._url = url.rstrip("/").removesuffix("/v1")
        self._http = httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, trust_env=False)

    async def count_calls(self) -> int:
        """Calls in the ledger; they are numbered from 1."""
        return int((await self._ask("GET", "/ledger/summary"))["calls"])

    async def read_calls(self, *, after: int) -> list[Call]:
        """Every call whose number is above `after`."""
        calls: list[Call] = []
        position: int | None = after
        while position is not None:
            page = await self._ask("GET", f"/ledger?after={position}&limit={PAGE_ENTRIES}")
            calls += [
                Call(entry["message_id"], entry["phone"], entry["text"], entry["accepted"]) for entry in page["entries"]
            ]
            position = page["next_after"]
        return calls

    async def read_faults(self) -> dict[str, Any]:
        """The document of faults in force."""
        return dict(await self._ask("GET", "/faults"))

    async def set_faults(self, document: dict[str, Any]) -> None:
        """Put other faults in force."""
        await self._ask("PUT", "/faults", document)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = await self._http.request(method, f"{self._url}{path}", json=body)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderFailed(f"{method} {self._url}{path}: {error or type(error).__name__}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()


def trial_faults(tag: str) -> dict[str, Any]:
    """Faults for the calls of one trial: most of them healed by a retry, some never, some of unknown outcome."""
    kinds: list[dict[str, Any]] = [
        {"kind": "status", "code": 503, "probability": 0.10},
        {"kind": "status", "code": 429, "retry_after_s": 1, "probability": 0.01},
        {"kind": "status", "code": 400, "probability": 0.02},
        {"kind": "slow", "delay_s": 0.1, "delay_max_s": 1.0, "probability": 0.05},
        {"kind": "reset", "probability": 0.02},
        {"kind": "garbage", "probability": 0.02},
        {"kind": "hang", "probability": 0.005},
    ]
    return {"seed": 1, "faults": [fault | {"for_texts": [tag]} for fault in kinds]}
