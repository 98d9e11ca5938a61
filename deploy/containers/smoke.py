"""Smoke: a mailing through the running containers, compared with the fake provider's ledger."""

import subprocess
import sys

from deploy.containers.engine import find_engine
from deploy.containers.published import API, FAKE_PROVIDER, address_of
from deploy.containers.stack import Stack
from deploy.containers.variables import ENV_FILE, Variables

CLIENTS = 300
SMOKE_LIMIT_S = 300.0


class NothingToTry(Exception):
    """The stack is not up, or has no ledger to compare with."""


def run_trial() -> int:
    """Run the trial against the stack of `make up`; its exit status.

    Raises:
        EngineMissing: no Docker engine or no compose.
        NothingToTry: the stack is not up, or sends to a provider without a ledger.
        CommandFailed: the engine does not answer.
    """
    containers = Stack(find_engine(), Variables(ENV_FILE)).containers()
    api, provider = address_of(containers, API), address_of(containers, FAKE_PROVIDER)
    if api is None:
        raise NothingToTry("Mailrun is not running in containers; start it with `make up`")
    if provider is None:
        raise NothingToTry("no fake provider is running, and no other has a ledger: `make up` without PROVIDER_URL")
    command = [sys.executable, "-m", "deploy.trial", "--api", api, "--provider", provider, "--clients", str(CLIENTS)]
    try:
        return subprocess.run(command, timeout=SMOKE_LIMIT_S, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise NothingToTry(f"the mailing was not done within {SMOKE_LIMIT_S:g} s") from error
