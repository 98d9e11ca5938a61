"""Bench provider: as little as a server can do, so that it is not what is measured.

`python -m tests.bench.provider --port 9000 --latency-ms 100`. Any POST is accepted; each is noted with its message id
and the moment of its arrival (monotonic clock of the machine, the same for all its processes, seconds).

Control: `GET /calls` answers `{"count", "first_s", "last_s"}`, `GET /calls/ID,ID,...` the moments of these messages,
`DELETE /calls` forgets, `PUT /latency/MS` sets the latency.
"""

import argparse
import asyncio
import json
import time
from array import array
from typing import Any

import uvloop

ACCEPTED = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"code": 0, "message":"OK"}'
HEAD_END = b"\r\n\r\n"


class Calls:
    """What arrived, in the order of arrival."""

    def __init__(self) -> None:
        self.ids = array("q")
        self.at_s = array("d")
        self.latency_s = 0.0

    def note(self, message_id: int) -> None:
        self.ids.append(message_id)
        self.at_s.append(time.monotonic())

    def forget(self) -> None:
        self.ids, self.at_s = array("q"), array("d")

    def answer(self, method: str, path: str) -> object:
        if method == "DELETE":
            self.forget()
        elif method == "PUT":
            self.latency_s = float(path.rpartition("/")[2]) / 1_000
        elif path.startswith("/calls/"):
            wanted = {int(one) for one in path.rpartition("/")[2].split(",")}
            return [at for message_id, at in zip(self.ids, self.at_s, strict=True) if message_id in wanted]
        count = len(self.at_s)
        return {
            "count": count,
            "distinct": len(set(self.ids)),
            "first_s": self.at_s[0] if count else None,
            "last_s": self.at_s[-1] if count else None,
        }


class Connection(asyncio.Protocol):
    """One connection, kept alive; requests come one after the other, with a Content-Length or no body."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._received = bytearray()
        self._transport: Any = None  # uvloop's are no subclass of asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(HEAD_END)) >= 0:
            head = bytes(self._received[:end])
            whole = end + len(HEAD_END) + content_length(head)
            if len(self._received) < whole:
                return
            del self._received[:whole]
            self._serve(head)

    def _serve(self, head: bytes) -> None:
        method, path, _ = head.split(b" ", 2)
        if method != b"POST":
            self._write(as_response(self._calls.answer(method.decode(), path.decode())))
            return
        self._calls.note(int(path.rpartition(b"/")[2]))
        if self._calls.latency_s:
            asyncio.get_running_loop().call_later(self._calls.latency_s, self._write, ACCEPTED)
        else:
            self._write(ACCEPTED)

    def _write(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(response)


def content_length(head: bytes) -> int:
    """What the head of a request says of its body, bytes; 0 when it says nothing."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def as_response(document: object) -> bytes:
    body = json.dumps(document).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def serve(port: int, latency_ms: float) -> None:
    """Serve until cancelled."""
    calls = Calls()
    calls.latency_s = latency_ms / 1_000
    server = await asyncio.get_running_loop().create_server(lambda: Connection(calls), "127.0.0.1", port, backlog=1_024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the provider of the benchmarks")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=0)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.latency_ms))
