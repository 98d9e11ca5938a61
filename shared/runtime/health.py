"""Health: what a process depends on and how that is, and a small server that tells it over HTTP.

`/health/live` answers 200 as long as the process can answer at all; `/health/ready` answers 200 only while every
dependency is up, else 503, and names each one and its state.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import web

log = structlog.get_logger()


@dataclass(slots=True)
class Health:
    """The state of each dependency, by name: "up", or what is wrong with it, in words."""

    states: dict[str, str] = field(default_factory=dict)

    def expect(self, *names: str) -> None:
        """Name the dependencies; none of them is up yet."""
        for name in names:
            self.states.setdefault(name, "not reached yet")

    def report(self, name: str, state: str) -> None:
        """Note the state of a dependency; a change is logged once."""
        before = self.states.get(name)
        self.states[name] = state
        if before == state:
            return
        if state == "up":
            log.info("dependency.up", dependency=name)
        else:
            log.warning("dependency.down", dependency=name, state=state)

    def reporter(self, name: str) -> Callable[[str], None]:
        """Name a dependency, and get the function that reports its state."""
        self.expect(name)
        return lambda state: self.report(name, state)

    @property
    def ready(self) -> bool:
        return all(state == "up" for state in self.states.values())

    def as_answer(self) -> tuple[int, dict[str, object]]:
        """HTTP status and body of `/health/ready`."""
        status = "ready" if self.ready else "not ready"
        return (200 if self.ready else 503), {"status": status, "dependencies": dict(self.states)}


class HealthServer:
    """Serves the health pages of a process that has no other HTTP server. The place for `/metrics`, too."""

    def __init__(self, health: Health, *, host: str, port: int) -> None:
        """`port` 0 takes any free one; it is in the log line `health.listening`."""
        self._health = health
        self._host = host
        self._port = port
        application = web.Application()
        application.add_routes([web.get("/health/live", self._live), web.get("/health/ready", self._ready)])
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the port is taken.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        log.info("health.listening", host=host, port=port)

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _ready(self, _: web.Request) -> web.Response:
        status, body = self._health.as_answer()
        return web.json_response(body, status=status)
