"""The HTTP server: tells calls from control, closes the door on `refuse`, stops at once."""

import asyncio
from typing import Any

from aiohttp import web

from services.fake_provider.calls import CallHandler
from services.fake_provider.choice import FaultPlan
from services.fake_provider.control import ControlHandler
from services.fake_provider.ledger import Ledger
from services.fake_provider.listener import Listener, PortUnavailableError
from shared.runtime.clock import Clock

SEND_PATH = "/v1/send/"

STOP_GRACE_S = 0.05
"""How long calls under way are waited for at a stop, seconds: enough for those that do not wait."""


class FakeProvider:
    """One fake provider on one address."""

    def __init__(self, *, ledger: Ledger, token: str | None, clock: Clock) -> None:
        """
        Args:
            token: bearer token that calls must carry; None for any or none. Control needs none.
        """
        plan = FaultPlan()
        self._calls = CallHandler(ledger=ledger, plan=plan, token=token, clock=clock, refuse=self.refuse)
        self._control = ControlHandler(
            ledger=ledger, plan=plan, count_in_flight=lambda: self._calls.in_flight, refuse=self.refuse
        )
        # A caller who leaves must not undo what was accepted: the handler goes on, and finds out by itself.
        # No access log: the ledger is one.
        self._http = web.Server(self._handle, handler_cancellation=False, access_log=None)
        self._listener = Listener(self._http)
        self._reopening: asyncio.Task[None] | None = None
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Begin to listen; the host and the port that it became.

        Args:
            port: 0 for any free one.

        Raises:
            PortUnavailableError: the address cannot be listened on.
        """
        await self._listener.open(host, port)
        return self._listener.address

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serve until the event is set, or until the port is lost.

        Raises:
            PortUnavailableError: after `refuse`, somebody else had taken the port.
        """
        stopping = asyncio.create_task(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopping, self._lost]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        if self._lost.done():
            self._lost.result()

    async def close(self) -> None:
        """Stop at once: calls under way, hanging ones too, end without an answer."""
        if self._reopening is not None:
            self._reopening.cancel()
        self._listener.release()
        await self._http.shutdown(timeout=STOP_GRACE_S)

    async def refuse(self, duration_s: float, spared: web.BaseRequest | None = None) -> None:
        """Close the listening socket and all connections; listen again after `duration_s`.

        Connecting is refused once this returns. While it is closed already, another wish changes nothing.

        Args:
            spared: the request whose connection stays, for its answer.
        """
        if self._reopening is None or self._reopening.done():
            self._reopening = asyncio.create_task(self._reopen_after(duration_s))
            await self._listener.close()
        spared_connection = None if spared is None else spared.protocol
        for connection in self._http.connections:
            if connection is not spared_connection and connection.transport is not None:
                connection.transport.abort()

    async def _reopen_after(self, duration_s: float) -> None:
        await asyncio.sleep(duration_s)
        try:
            await self._listener.reopen()
        except PortUnavailableError as error:
            self._lost.set_exception(error)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path = request.raw_path
        if raw_path.startswith(SEND_PATH) and request.method == "POST":
            raw_message_id, _, _ = raw_path[len(SEND_PATH) :].partition("?")
            return await self._calls.handle_call(request, raw_message_id)
        return await self._control.handle_control(request)
