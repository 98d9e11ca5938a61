"""The HTTP provider against sockets that misbehave in ways of their own: what was written, and what was not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.sender.outcome import judge
from services.sender.provider.http_provider import HttpProvider
from services.sender.provider.provider import Answer, Call
from shared.domain.message import Outcome

REFUSAL_STATUSES = frozenset({429, 500, 503})
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":0}'

Conversation = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One accepted connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read_request(self) -> bytes:
        """The next request; empty when the connection ended instead."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        [length] = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
        return head + await self.reader.readexactly(int(length.partition(b":")[2]))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        self.writer.transport.abort()

    async def wait_for_the_end(self) -> None:
        await self.reader.read()


class Server:
    """A server whose connections go as a test says: one conversation each, the last for all that follow."""

    def __init__(self, *conversations: Conversation) -> None:
        self._conversations = list(conversations)
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = asyncio.Event()
        self.port = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = self._conversations[min(self.connections, len(self._conversations) - 1)]
        self.connections += 1
        try:
            await conversation(Peer(reader, writer))
        except OSError:
            pass
        finally:
            writer.close()
            self.closed.set()


@asynccontextmanager
async def meeting(*conversations: Conversation, timeout_s: float = 2.0) -> AsyncIterator[tuple[HttpProvider, Server]]:
    server = Server(*conversations)
    listening = await asyncio.start_server(server.meet, "127.0.0.1", 0)
    port = server.port = listening.sockets[0].getsockname()[1]
    async with HttpProvider(
        f"http://127.0.0.1:{port}/v1",
        token="",
        concurrency=2,
        timeout_s=timeout_s,
        refusal_statuses=REFUSAL_STATUSES,
    ) as provider:
        yield provider, server
    listening.close()


def call(number: int = 1) -> Call:
    return Call(number, "79001234567", "Hello", lambda: 15.0, 25.0)


def outcome_of(answer: Answer) -> Outcome:
    return judge(answer, refusal_statuses=REFUSAL_STATUSES).outcome


async def answer_all(peer: Peer) -> None:
    while await peer.read_request():
        await peer.say(OK)


async def test_one_connection_serves_call_after_call() -> None:
    async with meeting(answer_all) as (provider, server):
        for number in range(1, 6):
            assert outcome_of(await provider.deliver(call(number))) is Outcome.ACCEPTED

    assert server.connections == 1


async def test_a_kept_connection_that_the_provider_has_closed_is_not_written_to() -> None:
    async def answer_once(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(OK)

    async with meeting(answer_once, answer_all) as (provider, server):
        assert outcome_of(await provider.deliver(call(1))) is Outcome.ACCEPTED
        await server.closed.wait()
        await asyncio.sleep(0.05)  # the end of the connection reaches us

        assert outcome_of(await provider.deliver(call(2))) is Outcome.ACCEPTED
    assert server.connections == 2


async def test_a_kept_connection_that_ends_on_the_next_request_leaves_it_unknown_and_is_not_tried_again() -> None:
    async def answer_once_then_read(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(OK)
        await peer.read_request()
        peer.reset()

    async with meeting(answer_once_then_read, answer_all) as (provider, server):
        assert outcome_of(await provider.deliver(call(1))) is Outcome.ACCEPTED
        second = await provider.deliver(call(2))

        assert outcome_of(second) is Outcome.UNKNOWN
        assert second.written
        assert server.connections == 1  # nobody sent it a second time behind our back


@pytest.mark.parametrize("read_first", [True, False])
async def test_a_connection_that_ends_without_an_answer_leaves_it_unknown(read_first: bool) -> None:
    async def end(peer: Peer) -> None:
        if read_first:
            await peer.read_request()
        peer.reset()

    async with meeting(end) as (provider, _):
        answer = await provider.deliver(call())

    # When the reset comes before the request is read, nobody on this side can tell.
    assert outcome_of(answer) in ({Outcome.UNKNOWN} if read_first else {Outcome.UNKNOWN, Outcome.REFUSED})


async def test_a_status_counts_although_its_body_does_not_end() -> None:
    async def refuse_without_end(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000\r\n\r\nbecause")
        await peer.wait_for_the_end()

    async def refuse_and_reset(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\nbecause")
        peer.reset()

    async with meeting(refuse_without_end, refuse_and_reset, timeout_s=0.3) as (provider, _):
        hanging, reset = await provider.deliver(call(1)), await provider.deliver(call(2))

    assert (hanging.http_status, hanging.body, outcome_of(hanging)) == (400, None, Outcome.PERMANENT)
    assert (reset.http_status, reset.body, outcome_of(reset)) == (500, None, Outcome.REFUSED)
    assert hanging.error


async def test_a_200_whose_body_does_not_end_cannot_be_known() -> None:
    async def half(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"code":0}')
        await peer.wait_for_the_end()

    async with meeting(half, timeout_s=0.3) as (provider, _):
        answer = await provider.deliver(call())

    assert outcome_of(answer) is Outcome.UNKNOWN


async def test_an_endless_body_is_cut_at_the_cap() -> None:
    async def pour(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.say(b"10000\r\n" + bytes(65_536) + b"\r\n")

    async with meeting(pour) as (provider, server):
        answer = await provider.deliver(call())
        async with asyncio.timeout(5):
            await server.closed.wait()  # the connection was dropped, not drained

    assert (answer.http_status, answer.body, outcome_of(answer)) == (200, None, Outcome.UNKNOWN)


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff\xfe\x80\x81 no HTTP at all \xc3\x28\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-\xff\xfe: \x80\x81\x00\r\n\r\n",
        b"HTTP/1.1 9999 \xe9t\xe9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\xff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n",
    ],
)
async def test_noise_cannot_be_known_and_is_told_in_words_that_can_be_stored(noise: bytes) -> None:
    async def make_noise(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(noise)

    async with meeting(make_noise) as (provider, _):
        answer = await provider.deliver(call())

    assert outcome_of(answer) is Outcome.UNKNOWN
    (answer.error or "").encode("utf-8")
    assert len(answer.error or "") <= 300


async def test_a_redirect_is_not_followed() -> None:
    async def redirect(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 307 Elsewhere\r\nLocation: /v1/send/1\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_for_the_end()

    async with meeting(redirect) as (provider, server):
        answer = await provider.deliver(call())

    assert (answer.http_status, outcome_of(answer)) == (307, Outcome.UNAUTHORISED)
    assert server.connections == 1


async def test_a_host_that_does_not_exist_is_certainly_not_accepted() -> None:
    async with HttpProvider(
        "http://provider.invalid/v1", token="", concurrency=1, timeout_s=2.0, refusal_statuses=REFUSAL_STATUSES
    ) as provider:
        answer = await provider.deliver(call())

    assert not answer.written
    assert outcome_of(answer) is Outcome.REFUSED


async def test_503_in_the_middle_of_a_long_body_lets_the_second_try_have_the_only_connection() -> None:
    async def busy(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000000\r\n\r\n" + bytes(65_536))
        await peer.wait_for_the_end()

    async with meeting(busy, answer_all) as (provider, server):
        async with asyncio.timeout(5):
            answer = await provider.deliver(call())

    assert outcome_of(answer) is Outcome.ACCEPTED
    assert server.connections == 2


async def test_503_is_not_tried_again_at_once_where_the_rate_does_not_allow_it() -> None:
    async def busy(peer: Peer) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        await peer.wait_for_the_end()

    async with meeting(busy, answer_all) as (provider, server):
        answer = await provider.deliver(replace(call(), may_try_again=lambda: False))

    assert outcome_of(answer) is Outcome.REFUSED
    assert answer.http_status == 503
    assert server.connections == 1
