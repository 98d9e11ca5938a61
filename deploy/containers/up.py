"""Up: the product in containers, started and seen healthy."""

from collections.abc import Callable

from deploy.containers.engine import CommandFailed, find_engine
from deploy.containers.health import NotHealthy, describe, wait_until_healthy
from deploy.containers.images import BUILD_IMAGES, RUN_IMAGES, fetch_missing_images
from deploy.containers.published import API, FAKE_PROVIDER, MANAGEMENT, address_of, refuse_taken_ports, wanted_ports
from deploy.containers.stack import PROJECT, Stack
from deploy.containers.variables import ENV_FILE, BadVariable, Variables, write_env_file

Tell = Callable[[str], None]

PULL_LIMIT_S = 900.0
"""Longest wait for the public images, about 300 MB, seconds."""


def bring_up(tell: Tell) -> None:
    """Build and start the product, wait until it is healthy, tell its addresses.

    Raises:
        EngineMissing: no Docker engine or no compose.
        BadVariable: a variable cannot be used.
        PortTaken: a port to be published is taken.
        ImageMissing: a public image cannot be had.
        CommandFailed: the build or the start failed.
        NotHealthy: a container is not healthy in time.
    """
    engine = find_engine()
    variables = Variables(ENV_FILE)
    fake = not variables.value("PROVIDER_URL")
    stack = Stack(engine, variables, with_fake_provider=fake)
    _make_env_file(stack, tell)
    variables.check()
    senders, schedulers = variables.count("SENDERS"), variables.count("SCHEDULERS")
    refuse_taken_ports(stack, wanted_ports(variables))
    fetch_missing_images((*RUN_IMAGES, *BUILD_IMAGES), limit_s=PULL_LIMIT_S)
    start_healthy(stack, senders=senders, schedulers=schedulers, tell=tell)
    for line in _addresses(stack):
        tell(line)


def start_healthy(stack: Stack, *, senders: int, schedulers: int, tell: Tell) -> None:
    """Build, start and wait until every container is healthy.

    Raises:
        CommandFailed: the build or the start failed.
        NotHealthy: a container is not healthy in time.
    """
    tell("building the image of the services")
    stack.build()
    tell(f"starting {senders} sender(s), {schedulers} scheduler(s) and the rest")
    try:
        stack.start(senders=senders, schedulers=schedulers)
    except CommandFailed as error:
        # Compose names the container that broke the start, and no more.
        sick = [container for container in stack.containers() if container.state != "healthy"]
        raise NotHealthy(f"{error}\n{describe(stack, sick)}" if sick else str(error)) from error
    wait_until_healthy(stack, tell=tell)
    tell(f"all {len(stack.containers())} containers are healthy")


def _make_env_file(stack: Stack, tell: Tell) -> None:
    if ENV_FILE.exists():
        return
    if f"{PROJECT}_rabbitmq" in stack.volumes() and not stack.variables.value("RABBITMQ_PASSWORD"):
        raise BadVariable(
            "deploy/.env is gone, but RabbitMQ's volume is still there and keeps the old password: "
            "put the file back, or give the data up with `make down VOLUMES=1`"
        )
    write_env_file()
    tell("deploy/.env made from deploy/.env.example, with random secrets")


def _addresses(stack: Stack) -> list[str]:
    containers = stack.containers()
    user = stack.variables.value("RABBITMQ_USER", "mailrun")
    lines = [
        f"API                  {address_of(containers, API)}  (documentation: /docs)",
        f"RabbitMQ management  {address_of(containers, MANAGEMENT)}  (user {user}, password in deploy/.env)",
    ]
    if stack.with_fake_provider:
        address = address_of(containers, FAKE_PROVIDER)
        lines.append(f"fake provider        {address}  (it is the provider, since PROVIDER_URL is not set)")
    else:
        lines.append(f"provider             {stack.variables.value('PROVIDER_URL')}")
    return lines
