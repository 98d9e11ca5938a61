"""Given a link to a server that echoes, when the link is broken in some way, then its two ends see just that."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.link import Link

ANSWER_S = 10.0
SILENT_S = 0.3


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.heard = b""
        self.heard_more = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                self.heard += data
                self.heard_more.set()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def link(echo: Echo) -> AsyncIterator[Link]:
    server = await asyncio.start_server(echo.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Link(f"amqp://user:secret@127.0.0.1:{port}/vhost") as link:
        yield link
    server.close()


class Caller:
    """A connection through a link."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(ANSWER_S):
            return await self._reader.read(1_000)

    async def hears_nothing(self, data: bytes) -> bool:
        self.writer.write(data)
        try:
            async with asyncio.timeout(SILENT_S):
                await self._reader.read(1_000)
        except TimeoutError:
            return True
        return False

    async def hears(self) -> bytes:
        async with asyncio.timeout(ANSWER_S):
            return await self._reader.read(1_000)


async def call(link: Link) -> Caller:
    port = int(link.url.rpartition(":")[2].partition("/")[0])
    return Caller(*await asyncio.open_connection("127.0.0.1", port))


async def test_a_sound_link_passes_everything(link: Link) -> None:
    assert link.url.startswith("amqp://user:secret@127.0.0.1:")
    assert link.url.endswith("/vhost")
    caller = await call(link)
    assert await caller.ask(b"one") == b"one"
    assert await caller.ask(b"two") == b"two"


async def test_a_reset_ends_what_there_is_and_lets_new_ones_in(link: Link) -> None:
    caller = await call(link)
    assert await caller.ask(b"one") == b"one"
    link.reset()
    with pytest.raises(ConnectionResetError):
        await caller.hears()
    assert await (await call(link)).ask(b"two") == b"two"


async def test_a_refusing_link_lets_nobody_in_until_it_is_healed(link: Link) -> None:
    link.refuse()
    with pytest.raises(ConnectionResetError):
        await (await call(link)).ask(b"one")
    link.heal()
    assert await (await call(link)).ask(b"two") == b"two"


async def test_a_stalled_link_passes_on_when_it_is_healed(link: Link, echo: Echo) -> None:
    caller = await call(link)
    assert await caller.ask(b"one") == b"one"
    link.stall()
    assert await caller.hears_nothing(b"two")
    assert echo.heard == b"one"
    link.heal()
    assert await caller.hears() == b"two"


async def test_a_half_open_link_carries_requests_and_loses_answers(link: Link, echo: Echo) -> None:
    caller = await call(link)
    assert await caller.ask(b"one") == b"one"
    link.half_open()
    echo.heard_more.clear()
    assert await caller.hears_nothing(b"two")
    async with asyncio.timeout(ANSWER_S):
        await echo.heard_more.wait()
    assert echo.heard == b"onetwo"
    link.heal()
    with pytest.raises(ConnectionResetError):
        await caller.hears()


async def test_a_slow_link_takes_its_time_each_way_and_keeps_the_order(link: Link) -> None:
    link.slow(0.2)
    caller = await call(link)
    began_s = asyncio.get_running_loop().time()
    assert await caller.ask(b"one") == b"one"
    assert asyncio.get_running_loop().time() - began_s >= 0.4
    assert await caller.ask(b"two") == b"two"


async def test_a_link_to_a_server_that_is_away_resets() -> None:
    async with Link("mongodb://127.0.0.1:1/?directConnection=true") as link:
        with pytest.raises(ConnectionResetError):
            await (await call(link)).ask(b"one")


async def test_the_end_of_one_side_is_the_end_of_the_other(link: Link) -> None:
    caller = await call(link)
    assert await caller.ask(b"one") == b"one"
    caller.writer.write_eof()
    assert await caller.hears() == b""
