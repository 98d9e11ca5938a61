"""System: all services as processes over the fake provider, HTTP in, the provider's ledger out."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo

from deploy.local.ports import held_ports
from tests.e2e.processes import Process
from tests.support.eventually import eventually

TOKEN = "the provider's token"
START_LIMIT_S = 120
FINAL = {"completed", "cancelled"}


@dataclass(frozen=True)
class Audience:
    """Clients that were made for one test, and the tag that no other client has."""

    tag: str
    phones: tuple[str, ...]
    client_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.phones)


@dataclass
class System:
    """One running system. Its tests share it: each has clients, a text and faults of its own."""

    folder: Path
    amqp_url: str
    mongo_url: str
    database: str
    environment: dict[str, str]
    api: httpx.AsyncClient
    provider: httpx.AsyncClient
    processes: dict[str, Process] = field(default_factory=dict)
    next_phone: int = 70_000_000_000

    # --- processes ---------------------------------------------------------------------------------------------------

    def start(self, name: str, service: str, *arguments: str) -> Process:
        """Start a service; its log is `<name>.log`, appended to when it is started again."""
        process = Process(name, service, self.folder, self.environment, *arguments)
        self.processes[name] = process
        return process

    def senders(self) -> list[Process]:
        return [process for name, process in self.processes.items() if name.startswith("sender")]

    async def until_ready(self, *names: str) -> None:
        """Wait until the schedulers and senders of these names are at work."""
        for name in names:
            started = rf"{name.partition('-')[0]}\.started"
            await asyncio.to_thread(self.processes[name].find_in_log, started, within_s=START_LIMIT_S)

    def stop(self) -> dict[str, int]:
        """Stop everything; the exit status of each."""
        for process in self.processes.values():
            if process.is_running:
                process.thaw()
                process.terminate()
        return {name: process.wait() for name, process in self.processes.items()}

    # --- what an operator does ---------------------------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """One request to the API; the answer's JSON."""
        answer = await self.api.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def make_client(self, tag: str, **fields: object) -> dict[str, Any]:
        self.next_phone += 1
        body = {"phone": str(self.next_phone), "tags": [tag], **fields}
        return dict(await self.ask("POST", "/clients", body, expect=201))

    async def make_audience(self, count: int, **fields: object) -> Audience:
        """Clients with a tag that nobody else has, made over the API."""
        tag = f"tag-{secrets.token_hex(4)}"
        gate = asyncio.Semaphore(16)

        async def make() -> dict[str, Any]:
            async with gate:
                return await self.make_client(tag, **fields)

        clients = await asyncio.gather(*(make() for _ in range(count)))
        clients.sort(key=lambda client: client["id"])
        return Audience(tag, tuple(one["phone"] for one in clients), tuple(one["id"] for one in clients))

    def make_large_audience(self, count: int) -> Audience:
        """As `make_audience`, written into the store directly: creating tens of thousands one by one takes minutes."""
        tag = f"tag-{secrets.token_hex(4)}"
        now = datetime.now(UTC)
        with pymongo.MongoClient(self.mongo_url) as gateway:
            database = gateway[self.database]
            counter = database["sequences"].find_one_and_update(
                {"_id": "clients"}, {"$inc": {"last": count}}, upsert=True, return_document=True
            )
            first_id = counter["last"] - count + 1
            phones = [str(self.next_phone + 1 + at) for at in range(count)]
            self.next_phone += count
            documents = [
                {
                    "_id": first_id + at,
                    "phone": phone,
                    "operator_code": phone[1:4],
                    "tags": [tag],
                    "timezone": "UTC",
                    "attributes": {},
                    "opted_out_at": None,
                    "created_at": now,
                    "updated_at": now,
                }
                for at, phone in enumerate(phones)
            ]
            for at in range(0, count, 2_000):
                database["clients"].insert_many(documents[at : at + 2_000], ordered=False)
        return Audience(tag, tuple(phones), tuple(range(first_id, first_id + count)))

    async def make_mailing(self, audience: Audience | dict[str, Any], **fields: object) -> dict[str, Any]:
        """A mailing with a text of its own, by which its calls are found in the ledger; it starts now."""
        filter_ = {"tags": [audience.tag]} if isinstance(audience, Audience) else audience
        body = {"name": "test", "text": f"text {secrets.token_hex(6)}", "audience": filter_, **fields}
        return dict(await self.ask("POST", "/mailings", body, expect=201))

    async def statistics(self, mailing_id: int) -> dict[str, Any]:
        """The statistics of a mailing, which add up in every answer."""
        answer = dict(await self.ask("GET", f"/statistics/{mailing_id}"))
        assert sum(answer["counts"].values()) == answer["audience_size"], answer
        by_code: dict[str, int] = {}
        for counts in answer["by_operator_code"].values():
            for status, count in counts.items():
                by_code[status] = by_code.get(status, 0) + count
        assert {status: count for status, count in by_code.items() if count} == {
            status: count for status, count in answer["counts"].items() if count
        }, answer
        return answer

    async def until(
        self, mailing: dict[str, Any], reached: str, *, within_s: float = 90.0, **least: int
    ) -> dict[str, Any]:
        """Watch a mailing until it has a status (or "any") and at least so many messages in each status named.

        Every answer on the way is checked to add up, in `/statistics`, too.
        """

        async def look() -> dict[str, Any] | None:
            one = await self.statistics(mailing["id"])
            overall = await self.ask("GET", "/statistics?limit=500")
            for row in overall["mailings"]:
                assert sum(row["counts"].values()) == row["audience_size"], row
            there = reached in ("any", one["status"])
            return one if there and all(one["counts"][status] >= count for status, count in least.items()) else None

        try:
            answer = await eventually(look, f"{reached} {least}", within_s=within_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; statistics: {await self.statistics(mailing['id'])}") from None
        assert answer is not None
        return answer

    async def messages(self, mailing_id: int) -> list[dict[str, Any]]:
        """Every message of a mailing, page by page."""
        return await self._all_pages(f"/mailings/{mailing_id}/messages")

    async def _all_pages(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.ask("GET", f"{path}?limit=500{cursor}")
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    # --- what the provider saw ---------------------------------------------------------------------------------------

    async def set_faults(self, *faults: dict[str, Any], latency_s: float = 0.0) -> None:
        answer = await self.provider.put("/faults", json={"seed": 1, "latency_s": latency_s, "faults": list(faults)})
        assert answer.status_code == 200, answer.text

    async def calls(self, texts: Iterable[str]) -> list[dict[str, Any]]:
        """The calls of the ledger with any of these texts, in the order of their arrival."""
        wanted = set(texts)
        found: list[dict[str, Any]] = []
        after = 0
        while after is not None:
            answer = await self.provider.get(f"/ledger?after={after}&limit=10000")
            page = answer.json()
            found += [entry for entry in page["entries"] if entry["text"] in wanted]
            after = page["next_after"]
        return found


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def from_now(**ahead: float) -> str:
    """An instant relative to now, as the API takes it."""
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat(timespec="milliseconds")


@asynccontextmanager
async def running_system(
    folder: Path,
    amqp_url: str,
    mongo_url: str,
    database: str,
    *,
    senders: int = 3,
    schedulers: int = 2,
    settings: dict[str, str] | None = None,
    before_ready: Callable[[System], Awaitable[None]] | None = None,
) -> AsyncIterator[System]:
    """Start everything, wait until it is ready, stop it at the end; whoever was not killed must have ended well.

    Args:
        before_ready: what happens between the start and the wait.
    """
    with held_ports(2) as (api_port, provider_port):
        environment = {
            "AMQP_URL": amqp_url,
            "MONGO_URL": mongo_url,
            "MONGO_DATABASE": database,
            "API_PORT": str(api_port),
            "API_RATE_PER_S": "0",
            "PROVIDER_URL": f"http://127.0.0.1:{provider_port}/v1",
            "PROVIDER_TOKEN": TOKEN,
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        async with gateway_to(api_port, max_connections=64) as api, gateway_to(provider_port) as provider:
            system = System(folder, amqp_url, mongo_url, database, environment, api, provider)
            try:
                system.start("provider", "fake_provider", "--port", str(provider_port), "--token", TOKEN)
                system.start("api", "api")
                others = [f"scheduler-{at + 1}" for at in range(schedulers)]
                others += [f"sender-{at + 1}" for at in range(senders)]
                for name in others:
                    system.start(name, name.partition("-")[0])
                if before_ready is not None:
                    await before_ready(system)
                await system.until_ready(*others)
                await eventually(lambda: answers(api, "/health/ready"), "the API ready", within_s=START_LIMIT_S)
                await eventually(lambda: answers(provider, "/health/live"), "the provider", within_s=START_LIMIT_S)
                yield system
            finally:
                statuses = system.stop()
            assert all(status in (0, -9) for status in statuses.values()), statuses


def gateway_to(port: int, *, max_connections: int = 100, timeout_s: float = 30.0) -> httpx.AsyncClient:
    """A client for what listens on a port of this machine."""
    limits = httpx.Limits(max_connections=max_connections)
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=timeout_s, trust_env=False, limits=limits)


async def answers(gateway: httpx.AsyncClient, path: str) -> bool:
    """Whether a page answers with 200."""
    try:
        return (await gateway.get(path)).status_code == 200
    except httpx.HTTPError:
        return False
