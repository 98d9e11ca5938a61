"""Rig: one system of its own, each process behind links of its own to broker and store, all of it breakable."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from deploy.local.ports import held_ports
from tests.chaos.launch import PLAN_VARIABLE
from tests.chaos.link import Link
from tests.chaos.servers import Servers
from tests.e2e.processes import Process
from tests.e2e.system import START_LIMIT_S, TOKEN, System, answers, gateway_to
from tests.support.eventually import eventually
from tests.support.facts import Freeze

SCHEDULERS = ("scheduler-1", "scheduler-2")
SENDERS = ("sender-1", "sender-2", "sender-3")
SERVICES = ("api", *SCHEDULERS, *SENDERS)
AT_WORK = {"api": b"api.listening", "scheduler": b"scheduler.started", "sender": b"sender.started"}
LAUNCHER = ("tests.chaos.launch",)
ANSWER_S = 60.0  # longer than the API ever takes: a request that is given up may still be carried out

SETTINGS = {
    "PROVIDER_TIMEOUT_S": "2",
    "PROVIDER_CONCURRENCY": "8",
    "SENDER_MAX_ATTEMPTS": "3",
    "SENDER_BATCH_SIZE": "50",
    "SENDER_BATCH_WAIT_MS": "5",
    "SENDER_STOP_S": "5",
    "SCHEDULER_CHUNK_CLIENTS": "40",
    "SCHEDULER_DEAD_LETTERS_AFTER_S": "3",
}


@dataclass
class Rig(System):
    """A running system that can be broken. `links` are by process and server, `frozen` by process.

    Attributes:
        plans: what the launcher plants into a service, by its name or by that of a process.
        freezes: those that are over.
        ended: name and exit status of each process that was asked to stop, and whether it had come to work.
    """

    servers: Servers = field(kw_only=True)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    plans: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    freezes: list[Freeze] = field(default_factory=list)
    ended: list[tuple[str, int, bool]] = field(default_factory=list)
    _frozen: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    _log_from: dict[str, int] = field(default_factory=dict)
    _ending: set[str] = field(default_factory=set)

    def start(self, name: str, service: str, *arguments: str) -> Process:
        """Start a process of a service through the launcher."""
        plan = self.plans.get(name) or self.plans.get(service) or {}
        environment = self.environment | {PLAN_VARIABLE: json.dumps(plan)}
        if (name, "broker") in self.links:
            environment["AMQP_URL"] = self.links[name, "broker"].url
            environment["MONGO_URL"] = self.links[name, "store"].url
        log = self.folder / f"{name}.log"
        self._log_from[name] = log.stat().st_size if log.exists() else 0
        through = LAUNCHER if service != "fake_provider" else ()
        process = Process(name, service, self.folder, environment, *arguments, through=through)
        self.processes[name] = process
        return process

    def start_service(self, name: str) -> None:
        """Start a process that is not running; nothing happens when it is."""
        if not self.processes[name].is_running:
            self.start(name, name.partition("-")[0])

    def kill_service(self, name: str) -> None:
        """kill -9, of a process that is frozen, too; not of one that was asked to stop, whose end is watched."""
        if name in self._ending:
            return
        self._thawed(name)
        self.processes[name].kill()

    async def end_service(self, name: str) -> None:
        """SIGTERM, and wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: it takes longer than it may.
        """
        process = self.processes[name]
        if not process.is_running or name in self._ending:
            return
        self.thaw(name)
        at_work = self.is_at_work(name)
        self._ending.add(name)
        process.terminate()
        try:
            self.ended.append((name, await asyncio.to_thread(process.wait), at_work))
        finally:
            self._ending.discard(name)

    def is_at_work(self, name: str) -> bool:
        """Whether a process has said since its start that it is at work: it then ends well on SIGTERM."""
        with (self.folder / f"{name}.log").open("rb") as log:
            log.seek(self._log_from[name])
            return AT_WORK[name.partition("-")[0]] in log.read()

    def freeze(self, name: str) -> None:
        """SIGSTOP; nothing happens when it is not running, or was asked to stop."""
        process = self.processes[name]
        if process.is_running and name not in self._frozen and name not in self._ending:
            self._frozen[name] = (process.pid, datetime.now(UTC))
            process.freeze()

    def note_frozen(self, name: str) -> None:
        """A process has stopped itself."""
        self._frozen[name] = (self.processes[name].pid, datetime.now(UTC))

    def thaw(self, name: str) -> None:
        """SIGCONT; nothing happens when it is not stopped."""
        if name in self._frozen:
            self.processes[name].thaw()
            self._thawed(name)

    def _thawed(self, name: str) -> None:
        if name in self._frozen:
            pid, since = self._frozen.pop(name)
            self.freezes.append(Freeze(pid, since, datetime.now(UTC)))

    async def purge(self, queue: str) -> None:
        """Throw away what lies in a queue, as an operator might by mistake; as soon as the broker answers."""
        vhost = self.amqp_url.rpartition("/")[2] or "%2F"
        url = f"{self.servers.management_url}/api/queues/{vhost}/{queue}/contents"

        async def done() -> bool:
            try:
                async with httpx.AsyncClient(timeout=10, trust_env=False) as management:
                    return (await management.delete(url)).is_success
            except httpx.TransportError:  # another event has stopped the broker
                return False

        await eventually(done, f"{queue} is purged", within_s=START_LIMIT_S)

    async def heal(self) -> None:
        """Every link, server, process and the provider as it should be."""
        for link in self.links.values():
            link.heal()
        for server in (self.servers.rabbit, self.servers.store):
            if server is not None:
                await revive(server)
        for name in SERVICES:
            if name not in self.processes:
                continue
            self.thaw(name)
            self.start_service(name)
        await eventually(self._provider_is_sound, "the provider without faults", within_s=START_LIMIT_S)

    async def _provider_is_sound(self) -> bool:
        try:
            await self.set_faults()
        except httpx.TransportError:  # its socket is closed for a while
            return False
        return True

    async def until_api_ready(self) -> None:
        await eventually(lambda: answers(self.api, "/health/ready"), "the API ready", within_s=START_LIMIT_S)


async def revive(server: Any) -> None:
    """Start a server that does not run; let one go on that is stopped."""
    try:
        os.kill(server.pid, signal.SIGCONT)
    except (RuntimeError, ProcessLookupError):
        server.spawn()
    await asyncio.to_thread(server.wait_until_ready)


@asynccontextmanager
async def running_rig(
    folder: Path,
    servers: Servers,
    *,
    settings: Mapping[str, str] | None = None,
    plans: Mapping[str, Mapping[str, Any]] | None = None,
    services: tuple[str, ...] = SERVICES,
    idle: tuple[str, ...] = (),
) -> AsyncIterator[Rig]:
    """Start everything and wait until it is at work; stopped at the end, whatever state it is in.

    Args:
        settings: variables of the environment, on top of those of every rig.
        plans: what the launcher plants, by process or service.
        services: the processes to start. `idle`: those that may be started later.
    """
    async with AsyncExitStack() as stack:
        api_port, provider_port = stack.enter_context(held_ports(2))
        environment = {
            "MONGO_DATABASE": servers.database,
            "API_PORT": str(api_port),
            "PROVIDER_URL": f"http://127.0.0.1:{provider_port}/v1",
            "PROVIDER_TOKEN": TOKEN,
            "LOG_FORMAT": "json",
            **SETTINGS,
            **(settings or {}),
        }
        api = await stack.enter_async_context(gateway_to(api_port, timeout_s=ANSWER_S))
        provider = await stack.enter_async_context(gateway_to(provider_port))
        rig = Rig(
            folder,
            servers.amqp_url,
            servers.mongo_url,
            servers.database,
            environment,
            api,
            provider,
            servers=servers,
            plans=plans or {},
        )
        for name in (*services, *idle):
            rig.links[name, "broker"] = await stack.enter_async_context(Link(servers.amqp_url))
            rig.links[name, "store"] = await stack.enter_async_context(Link(servers.mongo_url))
        try:
            ledger = str(folder / "ledger.jsonl")
            rig.start("provider", "fake_provider", "--port", str(provider_port), "--token", TOKEN, "--ledger", ledger)
            for name in services:
                rig.start(name, name.partition("-")[0])
            await rig.until_ready(*(name for name in services if name != "api"))
            await rig.until_api_ready()
            await eventually(lambda: answers(provider, "/health/live"), "the provider", within_s=START_LIMIT_S)
            yield rig
        finally:
            for process in rig.processes.values():
                if process.is_running:
                    process.kill()
