"""Server: uvicorn on a socket of our own, stopped by an event and not by its own handling of signals."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI

from services.api.http_protocol import MAX_HEAD_BYTES, ProblemProtocol

STOP_WITHIN_S = 10
KEEP_ALIVE_S = 30
BACKLOG = 2_048

log = structlog.get_logger()


class Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any free one.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


async def serve(application: FastAPI, listening: socket.socket, stop: asyncio.Event) -> None:
    """Serve until the stop; requests under way then have `STOP_WITHIN_S` to finish."""
    config = uvicorn.Config(
        application,
        http=ProblemProtocol,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        loop="none",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
        backlog=BACKLOG,
    )
    server = Server(config)
    host, port = listening.getsockname()[:2]
    log.info("api.listening", host=host, port=port)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
