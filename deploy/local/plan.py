"""The plan: which programs make up the system, where each listens, and what their environment says."""

import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local.choices import Choices
from deploy.local.ports import PortNeed, free_ports
from deploy.local.program import Program, Stage
from deploy.local.rabbit import RabbitNode
from deploy.local.store import SENDER_BATCH_SIZE, StoreServer
from shared.runtime.settings import Settings

STOP_SLACK_S = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run.

    Attributes:
        programs: servers and services; a server that the environment names is not among them.
        environment: for every program, on top of the inherited one.
        port_needs: what they will listen on and the environment can change.
        rabbit, store: the private servers, None where the environment names others.
        fake_provider_url: of the fake provider, up to before "/v1"; None where the environment names a provider.
        api_url: of the API, for somebody on this machine.
    """

    programs: tuple[Program, ...]
    environment: Mapping[str, str]
    port_needs: tuple[PortNeed, ...]
    rabbit: RabbitNode | None
    store: StoreServer | None
    fake_provider_url: str | None
    api_url: str


def plan_system(folder: Path, choices: Choices, settings: Settings) -> Plan:
    """Decide what is run, and prepare the folders and configuration of the servers.

    Args:
        folder: keeps everything that the system keeps; absolute.

    Raises:
        RabbitMissing: a private node is needed, and RabbitMQ is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    rabbit = store = None
    programs: list[Program] = []
    needs: list[PortNeed] = []
    environment = {
        "PYTHONUNBUFFERED": "1",
        "LOG_FORMAT": os.environ.get("LOG_FORMAT") or "console",
        "API_PORT": str(settings.api_port),
    }
    if choices.amqp_url is None:
        rabbit = RabbitNode(
            folder / "rabbitmq", choices.rabbitmq_port, choices.rabbitmq_management_port, *free_ports(2)
        )
        programs.append(rabbit.program())
        environment["AMQP_URL"] = rabbit.amqp_url
        needs.append(PortNeed(rabbit.amqp_port, "the private RabbitMQ node", "RABBITMQ_PORT"))
        needs.append(PortNeed(rabbit.management_port, "the RabbitMQ management", "RABBITMQ_MANAGEMENT_PORT"))
    if choices.mongo_url is None:
        store = StoreServer(folder / "store", choices.store_port)
        programs.append(store.program())
        environment["MONGO_URL"] = store.mongo_url
        environment["SENDER_BATCH_SIZE"] = os.environ.get("SENDER_BATCH_SIZE") or SENDER_BATCH_SIZE
        needs.append(PortNeed(store.port, "the embedded store", "STORE_PORT"))
    fake_provider_url = None
    if choices.provider_url is None:
        fake_provider_url = f"http://127.0.0.1:{choices.fake_provider_port}"
        programs.append(_fake_provider(folder, choices.fake_provider_port))
        environment["PROVIDER_URL"] = f"{fake_provider_url}/v1"
        environment["PROVIDER_TOKEN"] = settings.provider_token or secrets.token_hex(16)
        needs.append(PortNeed(choices.fake_provider_port, "the fake provider", "FAKE_PROVIDER_PORT"))

    needs.append(PortNeed(settings.api_port, "the API", "API_PORT", settings.api_host))
    programs.append(_service("api"))
    for name, count, port in (
        ("scheduler", choices.schedulers, settings.scheduler_health_port),
        ("sender", choices.senders, settings.sender_health_port),
    ):
        replicas, their_needs = _replicas(name, count, port, settings)
        programs += replicas
        needs += their_needs
    visible_host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::") else settings.api_host  # noqa: S104  compared, not bound
    return Plan(
        programs=tuple(programs),
        environment=environment,
        port_needs=tuple(needs),
        rabbit=rabbit,
        store=store,
        fake_provider_url=fake_provider_url,
        api_url=f"http://{visible_host}:{settings.api_port}",
    )


def throw_away(plan: Plan) -> Plan:
    """The same plan with servers that are killed at the end rather than asked: their data go anyway."""
    return replace(
        plan,
        programs=tuple(
            replace(program, stop_signal="KILL") if program.stage is Stage.SERVERS else program
            for program in plan.programs
        ),
    )


def _service(
    name: str, replica: str = "", environment: Mapping[str, str] | None = None, stop_wait_s: int = 20
) -> Program:
    return Program(
        name=f"{name}{replica}",
        command=(sys.executable, "-m", f"services.{name}"),
        stage=Stage.SERVICES,
        environment=environment or {},
        stop_wait_s=stop_wait_s,
    )


def _replicas(name: str, count: int, health_port: int, settings: Settings) -> tuple[list[Program], list[PortNeed]]:
    """So many processes of a service; a health port that the environment names is the first one's, the next follow."""
    programs, needs = [], []
    for number in range(count):
        variable = f"{name.upper()}_HEALTH_PORT"
        environment = {variable: str(health_port + number if health_port else 0)}
        replica = f"-{number + 1}" if count > 1 else ""
        if health_port:
            told = f"the health page of {name}{replica}"
            needs.append(PortNeed(health_port + number, told, variable, settings.health_host))
        programs.append(_service(name, replica, environment, stop_wait_s=round(settings.sender_stop_s) + STOP_SLACK_S))
    return programs, needs


def _fake_provider(folder: Path, port: int) -> Program:
    return Program(
        name="fake-provider",
        command=(
            *(sys.executable, "-m", "services.fake_provider"),
            *("--host", "127.0.0.1"),
            *("--port", str(port)),
            *("--ledger", str(folder / "ledger.jsonl")),
        ),
        stage=Stage.PROVIDER,
        stop_wait_s=5,
    )
