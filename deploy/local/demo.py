"""`make demo`: the whole system for one mailing, with data of its own that are thrown away."""

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pymongo

from deploy.local.announcement import SystemEnded, announce, await_part, tail_of
from deploy.local.choices import BadChoice, Choices, read_environment
from deploy.local.interrupts import interrupt_on_signals, noted_signals
from deploy.local.leftovers import AlreadyRunning, end_marked, only_run
from deploy.local.plan import Plan, plan_system, throw_away
from deploy.local.ports import free_ports, refuse_taken
from deploy.local.readiness import answers_ok
from deploy.local.supervisor import Supervisor
from deploy.trial.trial import TrialFailed, run_trial
from shared.broker.gateway import Gateway
from shared.broker.queues import QueueReader
from shared.broker.topology import SEND_QUEUE
from shared.errors import BrokerUnavailable
from shared.runtime.settings import Settings

FOLDER_PREFIX = "demo-"
TRIAL_LIMIT_S = 150
STORE_LIMIT_S = 5
BROKER_LIMIT_S = 10
INTERRUPTED = 130


def demo(data: Path, *, clients: int) -> int:
    """Start a system of its own, hold a trial, stop it, remove its data.

    Args:
        data: in which the folder for it is made.
        clients: size of the audience.

    Returns:
        Exit status: 0 only when audience, counts and ledger agree.

    Raises:
        BadChoice, RabbitMissing, PortTaken: before anything was started; the first also where others use the broker.
        SystemEnded: it did not come up, or the trial did not come to a verdict; the message says why.
    """
    choices, settings = _choose_ports(*read_environment())
    if choices.amqp_url is not None:
        asyncio.run(_refuse_used(choices.amqp_url))
    _remove_abandoned(data)
    interrupt_on_signals()
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(_own_folder(data))
            stack.enter_context(only_run(folder))
            plan = throw_away(plan_system(folder, choices, settings))
            refuse_taken(plan.port_needs)
            database = stack.enter_context(_own_database(choices))
            supervisor = Supervisor(folder, plan.programs, {**plan.environment, "MONGO_DATABASE": database})
            stack.callback(supervisor.stop)
            supervisor.start()
            return 0 if _hold_trial(supervisor, plan, clients=clients) else 1
    except KeyboardInterrupt:
        print("interrupted; everything is stopped and removed", file=sys.stderr)
        return INTERRUPTED


def _choose_ports(choices: Choices, settings: Settings) -> tuple[Choices, Settings]:
    """Free ports for everything, so that a demo runs beside whatever else does."""
    rabbitmq, management, store, fake_provider, api = free_ports(5)
    ports = {
        "rabbitmq_port": rabbitmq,
        "rabbitmq_management_port": management,
        "store_port": store,
        "fake_provider_port": fake_provider,
    }
    own = {"api_port": api, "scheduler_health_port": 0, "sender_health_port": 0}
    return choices.model_copy(update=ports), settings.model_copy(update=own)


async def _refuse_used(amqp_url: str) -> None:
    """Queues have fixed names: our senders, with a database of their own, would ack the commands of others."""
    try:
        async with Gateway(amqp_url, name="demo", report=lambda _: None) as gateway:
            await gateway.connection(within_s=BROKER_LIMIT_S)
            consumers = (await QueueReader(gateway).depth(SEND_QUEUE)).consumers
    except BrokerUnavailable as error:
        raise BadChoice(f"AMQP_URL: {error}") from error
    if consumers:
        raise BadChoice(
            f"AMQP_URL: {consumers} consume {SEND_QUEUE} there; name a virtual host of its own, or unset it"
        )


def _hold_trial(supervisor: Supervisor, plan: Plan, *, clients: int) -> bool:
    announce(supervisor, plan)
    await_part(supervisor, lambda: answers_ok(f"{plan.api_url}/health/ready"), "the API, ready for work,", "api")
    provider_url = plan.fake_provider_url or os.environ["PROVIDER_URL"]
    try:
        agrees = run_trial(plan.api_url, provider_url, clients=clients, faults=False, timeout_s=TRIAL_LIMIT_S)
    except TrialFailed as error:
        raise SystemEnded("\n".join((str(error), *_tails(supervisor, plan)))) from error
    if not agrees:
        print(*_tails(supervisor, plan), sep="\n", file=sys.stderr)
    return agrees


def _tails(supervisor: Supervisor, plan: Plan) -> Iterator[str]:
    """The last log lines of every program, the supervisor's own first."""
    yield tail_of(supervisor.log)
    for program in plan.programs:
        yield tail_of(supervisor.log_of(program.name))


@contextmanager
def _own_folder(data: Path) -> Iterator[Path]:
    data.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=data))
    try:
        yield folder
    finally:
        with noted_signals():
            shutil.rmtree(folder)


@contextmanager
def _own_database(choices: Choices) -> Iterator[str]:
    """The name of a database; dropped afterwards where it is in a store that stays."""
    name = f"mailrun_demo_{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        if choices.mongo_url is not None:
            with (
                noted_signals(),
                pymongo.MongoClient[dict[str, Any]](
                    str(choices.mongo_url), serverSelectionTimeoutMS=STORE_LIMIT_S * 1_000
                ) as store,
            ):
                store.drop_database(name)


def _remove_abandoned(data: Path) -> None:
    """Remove what demos left that were killed: nobody holds their folders."""
    for folder in data.glob(f"{FOLDER_PREFIX}*"):
        try:
            with only_run(folder):
                end_marked(folder, patience_s=0)
                shutil.rmtree(folder)
        except AlreadyRunning:
            continue
