"""A private RabbitMQ node from the system's packages: own name, ports, data, user; untouched by a system-wide one.

Works with RabbitMQ 3.10 and 4.x alike, as any user. It listens on the loopback address alone.
"""

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.ports import free_ports
from deploy.local.program import Program, Stage
from deploy.local.readiness import answers_ok, listens
from deploy.local.server import PrivateServer

USER = "mailrun"
NODE_NAME = "mailrun@localhost"
# Debian's /usr/sbin/rabbitmq-server changes to the system's user first; the script behind it does not.
PACKAGED_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMissing(Exception):
    """RabbitMQ is not installed; the message says what to type."""


def rabbitmq_server() -> Path:
    """The server's start script.

    Raises:
        RabbitMissing: there is none.
    """
    if PACKAGED_SERVER.exists():
        return PACKAGED_SERVER
    found = shutil.which("rabbitmq-server")
    if found is None:
        raise RabbitMissing(
            "RabbitMQ is not installed: type `sudo apt-get install rabbitmq-server`, or name a broker with AMQP_URL"
        )
    return Path(found)


@dataclass(frozen=True, slots=True)
class RabbitNode:
    """A node whose whole state is in one folder.

    Attributes:
        folder: data, configuration, cookie and password; absolute.
        amqp_port: where clients connect.
        management_port: where the management console and its API answer.
        dist_port, epmd_port: Erlang's own; nobody connects to them.
    """

    folder: Path
    amqp_port: int
    management_port: int
    dist_port: int
    epmd_port: int

    @property
    def password(self) -> str:
        """Generated once and kept beside the data, since the node knows it from its first start on."""
        kept = self.folder / "password"
        if not kept.exists():
            _write_private(kept, secrets.token_hex(16))
        return kept.read_text(encoding="ascii")

    @property
    def amqp_url(self) -> str:
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.amqp_port}/"

    @property
    def management_url(self) -> str:
        """Address of the management console, without user and password."""
        return f"http://127.0.0.1:{self.management_port}"

    def is_ready(self) -> bool:
        """Whether clients can connect and the management answers."""
        return listens(self.amqp_port) and answers_ok(
            f"{self.management_url}/api/overview", credentials=(USER, self.password)
        )

    def program(self) -> Program:
        """Write the configuration, and tell how to run the node.

        Raises:
            RabbitMissing: RabbitMQ is not installed.
        """
        server = rabbitmq_server()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_private(self.folder / "rabbitmq.conf", self._configuration())
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n", encoding="ascii")
        (self.folder / "rabbitmq-env.conf").write_text("", encoding="ascii")
        return Program(
            name="rabbitmq",
            command=("sh", str(Path(__file__).with_name("node.sh")), str(server)),
            stage=Stage.SERVERS,
            environment=self._environment(),
            stop_wait_s=30,  # a node with data took 6 s here
        )

    def _configuration(self) -> str:
        return "\n".join(
            (
                f"listeners.tcp.1 = 127.0.0.1:{self.amqp_port}",
                "management.tcp.ip = 127.0.0.1",
                f"management.tcp.port = {self.management_port}",
                f"default_user = {USER}",
                f"default_pass = {self.password}",
                "log.console = true",
                "log.console.level = info",
                "log.file = false",
                "",
            )
        )

    def _environment(self) -> Mapping[str, str]:
        """Every path that the server would else take from the system, its configuration included."""
        return {
            "HOME": str(self.folder),  # the Erlang cookie
            "RABBITMQ_NODENAME": NODE_NAME,
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self.folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(self.folder / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_NODE_PORT": str(self.amqp_port),
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }


class PrivateRabbit(PrivateServer):
    """A node on free ports, for tests: start, kill and start again, the ports and data kept."""

    def __init__(self, folder: Path) -> None:
        """`folder` may be new or hold the data of an earlier one."""
        self._node = RabbitNode(folder.resolve(), *free_ports(4))
        super().__init__(self._node.program(), folder.resolve(), self._node.is_ready)

    @property
    def amqp_url(self) -> str:
        return self._node.amqp_url

    @property
    def management_url(self) -> str:
        """Address of the management API, without user and password."""
        return self._node.management_url

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password, of AMQP and of the management alike."""
        return USER, self._node.password

    def keeps_queue(self, name: str) -> bool:
        """Whether a quorum queue is written down so that it survives a kill.

        Until then, for a second or two after it was declared, RabbitMQ 3.10 forgets the queue's members in a kill, and
        the queue never finds a leader again, although what it had confirmed is on disk.
        """
        written = self._node.folder.glob("data/*/quorum/*/names.dets")
        return any(f"_{name}".encode() in names.read_bytes() for names in written)


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, never readable by others even for a moment."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text, encoding="ascii")
