"""Healing: nobody dies any more, everybody answers, and time passes until nothing is left to do."""

from typing import Any

from shared.domain.mailing import Action
from shared.domain.message import DEAD, OPEN
from tests.integration.protocol.operators import act
from tests.integration.protocol.services import Scheduler
from tests.integration.protocol.world import World

STEP_S = 31.0
IDLE_ROUNDS = 8  # of STEP_S each: longer than a lease, and than a claim's limit and the mending after it
MOST_ROUNDS = 120
MOST_ACTS = 400  # of one round
MOST_TURNS = 60  # of one round
WALKS = 6


async def heal(world: World) -> None:
    """Let everything come to its end, and see whether it did."""
    world.tell("from here on all goes well")
    while world.ghosts:
        await world.haunt()
    for mailing_id in list(world.promises.mailings):
        await act(world, Action.RESUME, mailing_id)
    await _until_rest(world)
    if not world.wiped:
        world.promises.at_rest(_audience(world), _letters(world), walked=False)
    for _ in range(WALKS):
        if sorted(_letters(world)) == _dead(world):
            break
        world.pass_s(2 * STEP_S)  # longer than the lease of a look that was never ended
        for scheduler in world.schedulers:
            await _do(world, scheduler, "letters")
    world.promises.at_rest(_audience(world), _letters(world), walked=True)


async def _until_rest(world: World) -> None:
    idle, seen = 0, None
    for number in range(MOST_ROUNDS):
        await _round(world, world.schedulers[number % 2])
        now = _state(world)
        if _rests(world) or idle >= IDLE_ROUNDS:
            return
        idle, seen = (idle + 1, seen) if now == seen else (0, now)
        if not world.broker.send:
            due_at = min((due_at for due_at, _ in world.broker.ladder), default=None)
            until_due_s = STEP_S if due_at is None else (due_at - world.clock.now()).total_seconds()
            world.pass_s(max(0.1, until_due_s))
    world.promises.break_(f"no rest after {MOST_ROUNDS} rounds")


async def _round(world: World, scheduler: Scheduler) -> None:
    """Everybody ends what is in hand, the senders take what there is, a scheduler does what is due."""
    await _finish(world)
    for number in range(len(world.broker.send)):
        world.deliver(world.senders[number % 2])
        await world.settle()
    await _finish(world)
    for _ in range(MOST_TURNS):
        await _do(world, scheduler, "turn")
        if not scheduler.worked or world.promises.broken:
            break
    else:
        world.promises.break_("a scheduler has something to do for ever")
    if not world.broker.send:
        await _do(world, scheduler, "ended")


async def _do(world: World, scheduler: Scheduler, act: str) -> None:
    scheduler.begin(act)
    await world.settle()
    await _finish(world)


async def _finish(world: World) -> None:
    for _ in range(MOST_ACTS):
        moved = [await world.open(process) for process in world.processes]
        for sender in world.senders:
            if sender.channel.has_settled:
                world.ack(sender)
        if not any(moved):
            return
    world.promises.break_(f"somebody is busy for ever: {[one.waiting() for one in world.processes]}")


def _state(world: World) -> Any:
    messages = [(one["_id"], one["status"], one["attempt"]) for one in world.promises.messages.values()]
    mailings = [(one["_id"], one["status"]) for one in world.promises.mailings.values()]
    return messages, mailings, len(world.broker.send), len(world.broker.ladder)


def _rests(world: World) -> bool:
    return (
        not world.broker.send
        and not world.broker.ladder
        and not any(sender.channel.has_unacked for sender in world.senders)
        and all(one["status"] not in OPEN for one in world.promises.messages.values())
        and all(
            one["status"] in ("completed", "cancelled") and one["statistics"]
            for one in world.promises.mailings.values()
        )
    )


def _audience(world: World) -> list[tuple[int, int]]:
    """Who must have a message; a cancelled mailing may not have come to all."""
    planned = [one["_id"] for one in world.promises.mailings.values() if one["status"] != "cancelled"]
    return [(mailing_id, client) for mailing_id in planned for client in world.clients if client not in world.gone]


def _dead(world: World) -> list[int]:
    return sorted(one["_id"] for one in world.promises.messages.values() if one["status"] in DEAD)


def _letters(world: World) -> list[int]:
    return [entry.command.message_id for entry in world.broker.dead]
