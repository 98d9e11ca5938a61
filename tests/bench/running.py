"""Running: the services that a measurement needs, as processes, with their CPU and memory."""

import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from deploy.local.ports import held_ports
from deploy.local.store import SENDER_BATCH_SIZE
from tests.bench.cpu import cpu_s, peak_memory_mb
from tests.bench.places import Places
from tests.bench.planting import TAG, Planting
from tests.e2e.processes import Process
from tests.e2e.system import gateway_to
from tests.support.eventually import eventually

START_S = 60.0
WORK_S = 900.0


@dataclass
class Running:
    """Services at work in a virtual host and a database of their own."""

    places: Places
    folder: Path
    environment: dict[str, str]
    planting: Planting
    api: httpx.AsyncClient
    processes: dict[str, Process] = field(default_factory=dict)
    _before: dict[str, float] = field(default_factory=dict)

    async def start(self, *names: str) -> None:
        """Start services, "sender-1" or "api", and wait until they work."""
        for name in names:
            self.processes[name] = Process(name, name.partition("-")[0], self.folder, self.environment)
        for name in names:
            if name == "api":
                await eventually(self._api_is_ready, "the API", within_s=START_S)
            else:
                self.processes[name].find_in_log(rf"{name.partition('-')[0]}\.started", within_s=START_S)

    def begin_cpu(self) -> None:
        """Count CPU from here on: what starting cost is not the messages'."""
        self._before = self._cpu_s()

    def cpu_ms_per(self, messages: int) -> dict[str, float]:
        """CPU per message of each part since `begin_cpu`, milliseconds; several processes of a service together."""
        spent: dict[str, float] = {}
        for name, used_s in self._cpu_s().items():
            part = name.partition("-")[0]
            spent[part] = spent.get(part, 0.0) + (used_s - self._before.get(name, 0.0)) * 1_000 / messages
        return spent

    def peak_memory_mb(self) -> dict[str, float]:
        return {name.partition("-")[0]: peak_memory_mb(process.pid) for name, process in self.processes.items()}

    async def ask(self, method: str, path: str, body: object = None) -> Any:
        """A request to the API that succeeds; the answer's JSON."""
        answer = await self.api.request(method, f"/api/v1{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    async def make_mailing(self, *, tag: str = TAG, **fields: object) -> dict[str, Any]:
        body = {"text": f"text {secrets.token_hex(4)}", "audience": {"tags": [tag]}, **fields}
        return dict(await self.ask("POST", "/mailings", body))

    async def until_sent(self, count: int) -> None:
        """Wait until so many messages are recorded as sent."""
        await eventually(lambda: self._has_sent(count), f"{count} messages sent", within_s=WORK_S, every_s=0.5)

    async def _has_sent(self, count: int) -> bool:
        return await self.planting.count("sent") >= count

    async def _api_is_ready(self) -> bool:
        try:
            return (await self.api.get("/health/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    def _cpu_s(self) -> dict[str, float]:
        return {name: cpu_s(one.pid) for name, one in self.processes.items()} | self.places.server_cpu_s()

    def stop(self) -> None:
        stop_all(self.processes.values())


def stop_all(processes: Iterable[Process]) -> None:
    """End processes: SIGTERM to all, then wait for each."""
    for process in (running := [one for one in processes if one.is_running]):
        process.terminate()
    for process in running:
        process.wait()


@asynccontextmanager
async def running(places: Places, *services: str, clients: int = 0, **settings: str) -> AsyncIterator[Running]:
    """Services in places of their own; what is planted and started is the measurement's.

    Args:
        services: started at once, "api", "scheduler-1", "sender-1".
        clients: planted with the tag of the benchmarks before.
        settings: more of the environment.
    """
    with (
        places.fresh() as (amqp_url, database),
        TemporaryDirectory(prefix="mailrun-bench-") as folder,
        held_ports(1) as [port],
    ):
        environment = {
            "AMQP_URL": amqp_url,
            "MONGO_URL": places.mongo_url,
            "MONGO_DATABASE": database,
            "API_PORT": str(port),
            "API_RATE_PER_S": "0",
            "PROVIDER_URL": places.provider_url,
            "PROVIDER_TOKEN": "token",
            "LOG_FORMAT": "json",
            **({"SENDER_BATCH_SIZE": SENDER_BATCH_SIZE} if "embedded" in places.told else {}),
            **settings,
        }
        planting = Planting(places.mongo_url, database)
        await planting.prepare()
        if clients:
            await planting.clients(clients)
        async with gateway_to(port, timeout_s=60) as api:
            system = Running(places, Path(folder), environment, planting, api)
            try:
                await system.start(*services)
                yield system
            finally:
                system.stop()


def wall_clock_ahead_s() -> float:
    """What to add to a monotonic moment to get seconds since the epoch."""
    return time.time() - time.monotonic()
