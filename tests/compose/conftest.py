"""The running stack, as fixtures. Without one that the environment names, nothing here is collected."""

import os
from collections.abc import Iterator

import pytest

from tests.compose.running import RunningStack

STACK_VARIABLE = "MAILRUN_COMPOSE_PROJECT"

if STACK_VARIABLE not in os.environ:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str:
    named = os.environ.get(STACK_VARIABLE)
    return f"compose stack: {named}" if named else "compose stack: none; `make test-containers` runs tests/compose"


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """The stack of this run: three senders, two schedulers, one of everything else."""
    with RunningStack.from_environment(os.environ) as running:
        yield running


@pytest.fixture(autouse=True)
def _whole_stack(stack: RunningStack) -> None:
    """Every test begins with all containers running and healthy, and a provider that answers at once."""
    stack.start_stopped()
    stack.wait_until_healthy()
    stack.set_latency_s(0)
