"""Relay: a network between a gateway and its broker, to be cut, ended or silenced by a test."""

import asyncio
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536
ANSWER_WAIT_S = 5.0


class Relay:
    """Passes bytes between whoever connects to it and the broker. `async with Relay(url)`; then connect to `url`.

    `connections` counts all that were ever made, `command_bytes` what was passed on to the broker.
    """

    def __init__(self, amqp_url: str, *, port: int = 0) -> None:
        self._target = urlsplit(amqp_url)
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._commands_pass = asyncio.Event()
        self._answers_pass = asyncio.Event()
        self.speak()
        self._last_bytes: int | None = None
        self.connections = 0
        self.command_bytes = 0

    @property
    def url(self) -> str:
        """The broker's address, by way of this relay."""
        assert self._server is not None
        credentials = self._target.netloc.rpartition("@")[0]
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"{credentials}@127.0.0.1:{port}"))

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        for writer in self._writers:
            writer.transport.abort()

    def end_behind(self, answer_bytes: int) -> None:
        """End a connection just behind the next so many bytes from the broker, so that both arrive at once. Once."""
        self._last_bytes = answer_bytes

    def silence(self, *, answers_only: bool = False) -> None:
        """Pass nothing on any more, and say nothing of it: a broker that hangs, or a cable that is out."""
        self._answers_pass.clear()
        if not answers_only:
            self._commands_pass.clear()

    def speak(self) -> None:
        """Pass bytes on again."""
        self._answers_pass.set()
        self._commands_pass.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.speak()
        self.cut()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            onward_reader, onward_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, onward_writer}
        self._writers |= both
        await asyncio.gather(self._pass_commands(reader, onward_writer), self._pass_answers(onward_reader, writer))
        self._writers -= both

    async def _pass_commands(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._commands_pass.wait()
                writer.write(data)
                await writer.drain()
                self.command_bytes += len(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._answers_pass.wait()
                last_bytes, self._last_bytes = self._last_bytes, None
                if last_bytes is not None:
                    writer.write(data + await _rest(reader, last_bytes - len(data)))
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


async def _rest(reader: asyncio.StreamReader, count: int) -> bytes:
    try:
        async with asyncio.timeout(ANSWER_WAIT_S):
            return await reader.readexactly(max(0, count))
    except (TimeoutError, asyncio.IncompleteReadError):
        return b""
