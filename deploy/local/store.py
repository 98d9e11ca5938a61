"""The embedded store: SecantusDB, a MongoDB-compatible server over WiredTiger, as a process of its own.

For machines without MongoDB; production runs MongoDB. It is never imported by the services.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.local.ports import free_ports
from deploy.local.program import Program, Stage
from deploy.local.readiness import listens
from deploy.local.server import PrivateServer

SENDER_BATCH_SIZE = "100"
"""For senders on this store: an update of 400 costs it half as much again for each document as one of 100."""


@dataclass(frozen=True, slots=True)
class StoreServer:
    """A store whose whole state is in one folder.

    Attributes:
        folder: the data; absolute.
        port: where clients connect.
    """

    folder: Path
    port: int

    @property
    def mongo_url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"

    def is_ready(self) -> bool:
        """Whether clients can connect: it listens only after its data are open."""
        return listens(self.port)

    def program(self) -> Program:
        """Make the folder, and tell how to run the server."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        configuration = self.folder / "secantusd.toml"  # given, so that none is looked for elsewhere
        configuration.write_text("", encoding="ascii")
        return Program(
            name="store",
            command=(
                str(Path(sys.executable).with_name("secantusd-py")),
                *("--config", str(configuration)),
                *("--host", "127.0.0.1"),
                *("--port", str(self.port)),
                *("--storage-path", str(self.folder / "data")),
                # Without it kill -9 lost about 1 % of the acknowledged writes; with it none of 52,860.
                "--sync-on-commit",
            ),
            stage=Stage.SERVERS,
        )


class EmbeddedStore(PrivateServer):
    """A store on a free port, for tests: start, kill and start again, the port and data kept."""

    def __init__(self, folder: Path) -> None:
        """`folder` may be new or hold the data of an earlier one."""
        self._store = StoreServer(folder.resolve(), *free_ports(1))
        super().__init__(self._store.program(), folder.resolve(), self._store.is_ready)

    @property
    def mongo_url(self) -> str:
        return self._store.mongo_url
