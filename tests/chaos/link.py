"""Link: the network between a process and a server, to be cut, refused, stalled, slowed or left half open by a test."""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536
END_WITHIN_S = 5.0
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Link:
    """Passes bytes between whoever connects to it and a server. `async with Link(url)`; then connect to `url`.

    A server that is away is a connection that is reset at once, as it would be without the link.
    """

    def __init__(self, server_url: str) -> None:
        """`server_url`: with host and port; user and path are kept in `url`."""
        self._target = urlsplit(server_url)
        self._server: asyncio.Server | None = None
        self._tunnels: set[_Tunnel] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.requests_pass = asyncio.Event()
        self.answers_pass = asyncio.Event()
        self.delay_s = 0.0
        self.heal()

    @property
    def url(self) -> str:
        """The server's address, by way of this link."""
        assert self._server is not None
        credentials, at, _ = self._target.netloc.rpartition("@")
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"{credentials}{at}127.0.0.1:{port}"))

    @property
    def is_sound(self) -> bool:
        return self.requests_pass.is_set() and self.answers_pass.is_set() and not self._refusing and not self.delay_s

    def reset(self) -> None:
        """Reset every connection there is, with all that is on its way; new ones are welcome."""
        for tunnel in list(self._tunnels):
            tunnel.reset()

    def refuse(self) -> None:
        """Reset every connection there is, and every new one: a cable that is out, and says so."""
        self._refusing = True
        self.reset()

    def stall(self) -> None:
        """Pass nothing on, and say nothing of it. What is written meanwhile arrives after the healing."""
        self.requests_pass.clear()
        self.answers_pass.clear()

    def half_open(self) -> None:
        """Requests arrive, and are carried out; answers do not. The healing resets such connections."""
        self.answers_pass.clear()

    def slow(self, seconds: float) -> None:
        """Let everything take so much longer, each way."""
        self.delay_s = seconds

    def heal(self) -> None:
        """Work again."""
        if self.requests_pass.is_set() and not self.answers_pass.is_set():
            self.reset()
        self._refusing = False
        self.delay_s = 0.0
        self.requests_pass.set()
        self.answers_pass.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.refuse()
        self.requests_pass.set()
        self.answers_pass.set()
        await self._server.wait_closed()
        if self._serving:
            await asyncio.wait(self._serving, timeout=END_WITHIN_S)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        if self._refusing:
            _reset(writer)
            return
        try:
            onward_reader, onward_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            _reset(writer)
            return
        tunnel = _Tunnel(writer, onward_writer)
        self._tunnels.add(tunnel)
        try:
            if self._refusing:
                tunnel.reset()
            await asyncio.gather(
                self._pass_on(reader, onward_writer, self.requests_pass, tunnel),
                self._pass_on(onward_reader, writer, self.answers_pass, tunnel),
            )
        finally:
            self._tunnels.discard(tunnel)
            tunnel.close()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: asyncio.Event, tunnel: "_Tunnel"
    ) -> None:
        """One direction. Bytes wait in a queue, so that a slow link is slow and not narrow."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=1_000)

        async def read() -> None:
            while True:
                data = await reader.read(CHUNK_BYTES)
                await waiting.put((asyncio.get_running_loop().time() + self.delay_s, data))
                if not data:
                    return

        reading = asyncio.create_task(read())
        reading.add_done_callback(_end_queue(waiting))
        try:
            while True:
                due_s, data = await waiting.get()
                await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
                await passes.wait()
                if not data or tunnel.was_reset:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            tunnel.reset()
        finally:
            reading.cancel()
            if not tunnel.was_reset and writer.can_write_eof():
                try:
                    writer.write_eof()
                except OSError:
                    tunnel.reset()


class _Tunnel:
    """Both ends of one connection."""

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers
        self.was_reset = False

    def reset(self) -> None:
        self.was_reset = True
        for writer in self._writers:
            _reset(writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


def _end_queue(waiting: "asyncio.Queue[tuple[float, bytes]]") -> Callable[["asyncio.Task[None]"], None]:
    """What ends the other side of the queue when reading has failed, as it does on a reset."""

    def end(reading: "asyncio.Task[None]") -> None:
        if not reading.cancelled() and reading.exception() is not None:
            while waiting.full():
                waiting.get_nowait()
            waiting.put_nowait((0.0, b""))

    return end


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST rather than FIN: with linger at zero an abort says so at once."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()
