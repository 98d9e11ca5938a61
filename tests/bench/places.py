"""Places: the broker, the store and the provider that everything is measured over, and who they are."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx

from deploy.local.ports import held_ports
from tests.bench.cpu import cpu_s
from tests.e2e.system import answers, gateway_to
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

ROOT = Path(__file__).parents[2]
IMAGES = {"broker": "rabbitmq", "store": "mongo"}


@dataclass
class Places:
    """Where everything is.

    Attributes:
        broker_pid, store_pid: of the servers, where they are ours; for their CPU.
    """

    amqp_url: str
    management_url: str
    mongo_url: str
    told: str
    provider_url: str
    provider: httpx.AsyncClient
    provider_pid: int
    server_pids: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def fresh(self) -> Iterator[tuple[str, str]]:
        """A virtual host and a database of one measurement's own: AMQP address, name of the database."""
        with fresh_vhost(self.amqp_url, self.management_url) as amqp_url, fresh_database(self.mongo_url) as database:
            yield amqp_url, database

    async def forget_calls(self, *, latency_ms: float = 0.0) -> None:
        """Begin anew at the provider."""
        await self.provider.put(f"/latency/{latency_ms}")
        await self.provider.delete("/calls")

    async def calls(self) -> dict[str, Any]:
        """How many calls came, and when the first and the last."""
        return dict((await self.provider.get("/calls")).json())

    async def until_called(self, count: int, *, within_s: float = 600.0) -> dict[str, Any]:
        """Wait for so many calls."""

        async def there() -> dict[str, Any] | None:
            calls = await self.calls()
            return calls if calls["count"] >= count else None

        calls = await eventually(there, f"{count} calls", within_s=within_s, every_s=0.2)
        assert calls is not None
        return calls

    def server_cpu_s(self) -> dict[str, float]:
        """CPU of broker, store and provider so far, seconds."""
        return {name: cpu_s(pid) for name, pid in self.server_pids.items()} | {"provider": cpu_s(self.provider_pid)}


@asynccontextmanager
async def places() -> AsyncIterator[Places]:
    """Broker and store as the tests choose them (what the environment names, else containers, else local ones)."""
    with servers.broker() as broker, servers.store() as store, held_ports(1) as [port]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.provider", "--port", str(port)], cwd=ROOT, stdin=subprocess.DEVNULL
        )
        try:
            async with gateway_to(port) as provider:
                found = Places(
                    broker.amqp_url,
                    broker.management_url,
                    store.mongo_url,
                    f"broker: {_version(broker)}, {broker.told}; store: {store.told}",
                    f"http://127.0.0.1:{port}/v1",
                    provider,
                    process.pid,
                    _container_pids(),
                )
                await eventually(lambda: answers(provider, "/calls"), "the provider of the benchmarks", within_s=30)
                yield found
        finally:
            process.terminate()
            process.wait()


async def run_program(module: str, *arguments: str, within_s: float = 600.0, **environment: str) -> dict[str, Any]:
    """Run a program of the benchmarks as a process of its own; what it says on its last line, as JSON.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within_s):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {complained.decode()[-4_000:]}")
    return dict(json.loads(said.splitlines()[-1]))


def _version(broker: servers.Broker) -> str:
    overview = httpx.get(f"{broker.management_url.rstrip('/')}/api/overview", timeout=10, trust_env=False).json()
    return f"RabbitMQ {overview['rabbitmq_version']}"


def _container_pids() -> dict[str, int]:
    """The first process of each server's container, where they are containers."""
    if not servers.use_containers():
        return {}
    engine = docker.from_env()
    pids: dict[str, int] = {}
    for container in engine.containers.list(ignore_removed=True):
        for name, image in IMAGES.items():
            if any(tag.startswith(image) for tag in container.image.tags):
                pids[name] = int(engine.api.inspect_container(container.id)["State"]["Pid"])
    engine.close()
    return pids
