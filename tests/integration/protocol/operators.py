"""Operators: what the API does when it is asked to, each act answered before anything else happens."""

from contextlib import suppress

from shared.domain.mailing import COMPLETED, PAUSED, RUNNING, Action, has_ended, status_after
from shared.domain.message import DEAD
from shared.errors import Conflict
from shared.store.mailing_documents import Replay
from tests.integration.protocol.world import World

REPLAYABLE = frozenset({RUNNING, PAUSED, COMPLETED})


async def act(world: World, action: Action, mailing_id: int) -> None:
    """Pause, resume or cancel, if the mailing allows it."""
    now, seen = world.clock.now(), await world.store.mailings.get(mailing_id)
    with suppress(Conflict):
        status = status_after(action, seen, now)
        if status is not None and await world.store.mailings.change(seen, now, status=status):
            world.tell(f"an operator: {action} {mailing_id}")
            world.answered("mailing", mailing_id, stopped=action is not Action.RESUME)
    world.observe(world.api)


async def opt_out(world: World, client_id: int) -> None:
    """A client wants no more messages: what is unsent to it is cancelled."""
    now = world.clock.now()
    world.tell(f"client {client_id} opts out")
    world.gone.add(client_id)
    await world.store.clients.update(client_id, {"opted_out_at": now}, now)
    mailing_ids = await world.store.message_statuses.cancel_of_client(client_id, reason="client_opted_out", now=now)
    await world.store.mailings.look_soon(mailing_ids, now)
    world.answered("client", client_id, stopped=True)
    world.observe(world.api)


async def replay(world: World, mailing_id: int) -> None:
    """Ask for a replay of all that is dead, if the mailing allows it."""
    now, seen = world.clock.now(), await world.store.mailings.get(mailing_id)
    if seen.status not in REPLAYABLE or has_ended(seen, now):
        return
    with suppress(Conflict):
        if await world.store.mailings.ask_replay(seen, Replay(now, tuple(sorted(DEAD)), None, ()), now):
            world.tell(f"an operator: replay {mailing_id}")
    world.observe(world.api)
