"""Published ports: free before a stack starts, and where it can be reached afterwards."""

from collections.abc import Iterable
from dataclasses import dataclass

from deploy.containers.stack import Container, Stack
from deploy.containers.variables import Variables
from deploy.local.ports import PortTaken, is_free

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Published:
    """A port that a service publishes.

    Attributes:
        service: its name in the compose file.
        inner_port: the port inside the container.
        variable: what chooses the port outside.
        default_port: the port outside unless chosen.
    """

    service: str
    inner_port: int
    variable: str
    default_port: int


API = Published("api", 8_000, "API_PORT", 8_000)
MANAGEMENT = Published("rabbitmq", 15_672, "RABBITMQ_MANAGEMENT_PORT", 15_672)
FAKE_PROVIDER = Published("fake-provider", 9_000, "FAKE_PROVIDER_PORT", 9_000)


def refuse_taken_ports(stack: Stack, ports: Iterable[Published]) -> None:
    """Make sure that each port is free, or the stack's own already.

    Raises:
        PortTaken: the first that is not, or two are the same.
        BadVariable: one is no port.
    """
    host = stack.variables.value("BIND_ADDRESS", LOOPBACK)
    containers = stack.containers()
    chosen: dict[int, Published] = {}
    for wanted in ports:
        port = stack.variables.port(wanted.variable, wanted.default_port)
        other = chosen.setdefault(port, wanted)
        if other is not wanted:
            raise PortTaken(f"port {port} is wanted by {other.service} and by {wanted.service}: {_advice(wanted)}")
        if not _is_own(containers, wanted, port) and not is_free(port, host):
            raise PortTaken(
                f"port {port} on {host}, which {wanted.service} is to publish, is taken: "
                f"stop what listens there, or {_advice(wanted)}"
            )


def address_of(containers: Iterable[Container], published: Published) -> str | None:
    """The URL at which this machine reaches a published port; None when its container is not running."""
    for container in containers:
        if container.service == published.service and (found := container.published_port(published.inner_port)):
            host, port = found
            host = LOOPBACK if host in ("0.0.0.0", "::", "") else host  # noqa: S104 -- compared, not listened on
            return f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return None


def wanted_ports(variables: Variables) -> tuple[Published, ...]:
    """What is published: the fake provider only where no other provider is named."""
    return (API, MANAGEMENT) if variables.value("PROVIDER_URL") else (API, MANAGEMENT, FAKE_PROVIDER)


def _is_own(containers: Iterable[Container], wanted: Published, port: int) -> bool:
    found = (container.published_port(wanted.inner_port) for container in containers)
    return any(binding is not None and binding[1] == port for binding in found)


def _advice(wanted: Published) -> str:
    return f"choose another with {wanted.variable}=PORT in the environment or in deploy/.env"
