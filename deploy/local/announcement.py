"""The announcement: where the parts of a system are, a line each, as soon as they answer."""

import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.plan import Plan
from deploy.local.rabbit import USER
from deploy.local.readiness import START_LIMIT_S, NotReady, answers_ok, wait_until
from deploy.local.supervisor import Supervisor

TAIL_LINES = 20


class SystemEnded(Exception):
    """The system has not come up, or ended although nobody asked it to; the message says what is known."""


def announce(supervisor: Supervisor, plan: Plan) -> None:
    """Wait for each part that people look at, and print where it is.

    Raises:
        SystemEnded: one did not answer in time; the message ends with its last log lines.
    """
    if rabbit := plan.rabbit:
        await_part(supervisor, rabbit.is_ready, "the private RabbitMQ node", "rabbitmq")
        _tell("RabbitMQ management", f"{rabbit.management_url}  user {USER}  password {rabbit.password}")
    if plan.store:
        await_part(supervisor, plan.store.is_ready, "the embedded store", "store")
    if url := plan.fake_provider_url:
        await_part(supervisor, lambda: answers_ok(f"{url}/health/live"), "the fake provider", "fake-provider")
        _tell("fake provider", f"{url}/ledger/summary")
    await_part(supervisor, lambda: answers_ok(f"{plan.api_url}/health/live"), "the API", "api")
    _tell("API", f"{plan.api_url}/docs")


def await_part(supervisor: Supervisor, answers: Callable[[], bool], what: str, program: str) -> None:
    """Wait until one part answers.

    Args:
        answers: whether it does.
        what: the part, for a person.
        program: its name in the plan.

    Raises:
        SystemEnded: it did not in time; the message ends with its last log lines.
    """
    try:
        wait_until(answers, what, timeout_s=START_LIMIT_S, alive=lambda: supervisor.is_running)
    except NotReady as error:
        raise SystemEnded(f"{error}\n{tail_of(supervisor.log_of(program))}") from error


def tail_of(log: Path) -> str:
    """The last lines of a log, under its name."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join((f"--- the end of {log.name}", *(lines[-TAIL_LINES:] or ["(nothing)"])))


def _tell(part: str, where: str) -> None:
    print(f"{part:<20} {where}", flush=True, file=sys.stdout)
