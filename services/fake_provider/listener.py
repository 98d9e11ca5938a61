"""The listening socket, which `refuse` takes away for a while."""

import asyncio
import errno
import socket
from collections.abc import Callable

BACKLOG = 1024

CLOSE_LIMIT_S = 5.0
"""Longest wait for the closed socket to give its port free, seconds."""

_LOOK_S = 0.01


class PortUnavailableError(Exception):
    """The address cannot be listened on; the message says which and why."""


class Listener:
    """Listens on one address, and can leave it and come back."""

    def __init__(self, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._protocol_factory = protocol_factory
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._family = socket.AF_INET
        self._address: tuple[str, int] = ("", 0)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the port that the system chose when 0 was asked for."""
        return self._address

    async def open(self, host: str, port: int) -> None:
        """Begin to listen.

        Raises:
            PortUnavailableError: no such host, or the port is taken or not allowed.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise PortUnavailableError(f"host {host} is unknown: {error.strerror}") from error
        self._family, _, _, _, address = found[0]
        self._address = (str(address[0]), port)
        try:
            bound = self._bind()
            self._address = (self._address[0], bound.getsockname()[1])
            await self._listen(bound)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortUnavailableError(f"port {port} on {host} is taken by another process") from error
            raise PortUnavailableError(f"port {port} on {host}: {error.strerror}") from error

    async def close(self) -> None:
        """Stop listening: connecting is refused from here on. Connections that exist stay.

        The port stays ours meanwhile: a socket that is bound to it and does not listen refuses, too.
        """
        if self._server is None:
            return
        self._server.close()
        self._server = None
        loop = asyncio.get_running_loop()
        until = loop.time() + CLOSE_LIMIT_S
        while self._reserved is None and loop.time() < until:
            try:
                self._reserved = self._bind()
            except OSError:
                # The event loop closes the socket a turn later.
                await asyncio.sleep(_LOOK_S)

    async def reopen(self) -> None:
        """Listen again on the same address.

        Raises:
            PortUnavailableError: somebody took the port.
        """
        bound, self._reserved = self._reserved, None
        try:
            await self._listen(bound or self._bind())
        except OSError as error:
            host, port = self._address
            raise PortUnavailableError(f"port {port} on {host} was taken meanwhile") from error

    def release(self) -> None:
        """Leave the address for good."""
        if self._server is not None:
            self._server.close()
        if self._reserved is not None:
            self._reserved.close()

    def _bind(self) -> socket.socket:
        bound = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setblocking(False)
            bound.bind(self._address)
        except OSError:
            bound.close()
            raise
        return bound

    async def _listen(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            # Not left to the loop: uvloop does not tell that somebody else listens on the port already.
            bound.listen(BACKLOG)
            self._server = await loop.create_server(self._protocol_factory, sock=bound, backlog=BACKLOG)
        except OSError:
            bound.close()
            raise
