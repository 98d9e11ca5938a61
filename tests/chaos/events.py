"""Events: how each event of a schedule is brought about, and how it is put right again."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx

from tests.chaos.link import Link
from tests.chaos.operating import Kept, Operator
from tests.chaos.rig import Rig, revive
from tests.chaos.schedule import Event

SLOW_S = 0.4
BEHIND_S = 1.2  # how long a link is stalled or slow before its process is killed


class Events:
    """Brings the events of one run about."""

    def __init__(self, rig: Rig, operator: Operator, mailings: Mapping[str, Kept], latency_s: float) -> None:
        """`mailings`: by the name that the schedule has for them."""
        self._rig = rig
        self._operator = operator
        self._mailings = mailings
        self._latency_s = latency_s
        self._provider_faults: list[dict[str, Any]] = []

    async def happen(self, event: Event) -> None:
        """Bring it about, and put it right when its time is over."""
        if event.act == "provider":
            await self._provider(event)
        elif event.act == "purge":
            await self._rig.purge(event.target)
        elif event.target in self._mailings:
            await self._operate(event, self._mailings[event.target])
        elif event.target in ("broker", "store"):
            await self._server(event)
        elif " " in event.target:
            await self._link(event)
        else:
            await self._process(event)

    async def _process(self, event: Event) -> None:
        rig, name = self._rig, event.target
        if event.act == "freeze":
            rig.freeze(name)
            await asyncio.sleep(event.seconds)
            rig.thaw(name)
            return
        if event.act == "term":
            await rig.end_service(name)
        elif event.act == "kill":
            rig.kill_service(name)
        else:
            await self._kill_behind(event, name)
        await asyncio.sleep(event.seconds)
        rig.start_service(name)

    async def _kill_behind(self, event: Event, name: str) -> None:
        """Kill a process while what it has to say does not get through."""
        link = self._rig.links[name, event.act.rpartition(" ")[2]]
        if "slow" in event.act:
            link.slow(SLOW_S)
        else:
            link.stall()
        await asyncio.sleep(BEHIND_S)
        self._rig.kill_service(name)
        link.reset()
        link.heal()

    async def _link(self, event: Event) -> None:
        process, _, server = event.target.partition(" ")
        link = self._rig.links[process, server]
        break_link(link, event.act)
        await asyncio.sleep(event.seconds)
        link.heal()

    async def _server(self, event: Event) -> None:
        server = self._rig.servers.named(event.target)
        if event.act == "kill":
            await asyncio.to_thread(server.kill)
        elif event.act == "stop":
            await asyncio.to_thread(server.stop)
        else:
            os.kill(server.pid, signal.SIGSTOP)
        await asyncio.sleep(event.seconds)
        await revive(server)

    async def _provider(self, event: Event) -> None:
        """The provider has all the faults whose time it is. Once told to refuse, it listens again by itself."""
        if event.target == "refuse":
            await self._set_faults(*self._provider_faults, dict(event.parameters))
            return
        fault = dict(event.parameters)
        self._provider_faults.append(fault)
        await self._set_faults(*self._provider_faults)
        await asyncio.sleep(event.seconds)
        self._provider_faults.remove(fault)
        await self._set_faults(*self._provider_faults)

    async def _set_faults(self, *faults: dict[str, Any]) -> None:
        with suppress(httpx.TransportError):  # its socket is closed for a while
            await self._rig.set_faults(*faults, latency_s=self._latency_s)

    async def _operate(self, event: Event, kept: Kept) -> None:
        operator = self._operator
        clients = kept.audience.client_ids
        client_id = clients[int(event.parameters.get("client", 0) * len(clients))]
        match event.act:
            case "pause":
                await operator.pause(kept)
                await asyncio.sleep(event.seconds)
                await operator.resume(kept)
            case "edit text":
                await operator.edit_text(kept, f"{kept.texts[0].value}, edited at {event.at_s}")
            case "edit end":
                await operator.edit_end(kept, in_s=event.seconds)
            case "cancel":
                await operator.cancel(kept)
            case "delete mailing":
                await operator.delete(kept)
            case "replay":
                await operator.replay(kept)
            case "opt out":
                await operator.opt_out(client_id)
            case "delete client":
                await operator.delete_client(client_id)
            case _:
                raise ValueError(f"nobody knows how to {event.act}")


def break_link(link: Link, act: str) -> None:
    """Break a link in one of `LINK_FAULTS`' ways."""
    match act:
        case "reset":
            link.reset()
        case "refuse":
            link.refuse()
        case "stall":
            link.stall()
        case "half-open":
            link.half_open()
        case "slow":
            link.slow(SLOW_S)
        case _:
            raise ValueError(f"a link cannot {act}")
