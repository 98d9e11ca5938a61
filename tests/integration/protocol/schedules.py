"""Seven short stories, each of which one mistake turns into a broken promise. The product lives through all of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.domain.mailing import Action
from tests.integration.protocol.operators import act, replay
from tests.integration.protocol.process import Process
from tests.integration.protocol.provider import Reply
from tests.integration.protocol.services import Scheduler, Sender
from tests.integration.protocol.world import Conditions, World

MOST_ACTS = 60
ONE_CLIENT = Conditions(mending=False, clients=1)
TWO_CLIENTS = Conditions(mending=False, clients=2)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens, in a world of which kind."""

    play: Callable[[World], Awaitable[None]]
    conditions: Conditions = ONE_CLIENT


async def go_on(world: World, process: Process, *, until: str = "", reply: Reply = Reply.ACCEPTED) -> None:
    """Have a process act until it is about to do what is named; until it has nothing to do, if nothing is."""
    for _ in range(MOST_ACTS):
        if until and any(gate.name.startswith(until) for gate in process.waiting()):
            return
        if not await world.open(process, reply=reply):
            break
    assert not until, f"{process.name} never came to {until}"


async def turn(world: World, scheduler: Scheduler, *, until: str = "") -> None:
    scheduler.begin("turn")
    await world.settle()
    await go_on(world, scheduler, until=until)


async def deliver(world: World, sender: Sender, *, until: str = "", reply: Reply = Reply.ACCEPTED) -> None:
    assert world.broker.send, "there is no command"
    world.deliver(sender)
    await world.settle()
    await go_on(world, sender, until=until, reply=reply)


async def a_sender_dies_before_it_has_recorded(world: World) -> None:
    await turn(world, world.schedulers[0])
    await deliver(world, world.senders[0], until="message_statuses.record")
    await world.crash(world.senders[0])


async def an_answer_comes_after_the_claim_was_outlived(world: World) -> None:
    slow, other = world.senders
    await turn(world, world.schedulers[0])
    await deliver(world, slow, until="answer", reply=Reply.REFUSED)
    world.lose_channel(slow)
    world.pass_s(31)
    await deliver(world, other)
    world.ack(other)
    world.pass_s(6)
    await deliver(world, other, until="answer")
    await go_on(world, slow)


async def a_command_comes_again_while_its_call_is_under_way(world: World) -> None:
    slow, other = world.senders
    await turn(world, world.schedulers[0])
    await deliver(world, slow, until="answer")
    world.lose_channel(slow)
    await deliver(world, other)


async def a_sender_dies_before_it_has_published_the_retry(world: World) -> None:
    await turn(world, world.schedulers[0])
    await deliver(world, world.senders[0], until="publish", reply=Reply.REFUSED)
    await world.crash(world.senders[0])


async def a_mailing_is_paused_between_two_messages(world: World) -> None:
    sender = world.senders[0]
    await turn(world, world.schedulers[0])
    await deliver(world, sender)
    await act(world, Action.PAUSE, 1)
    await deliver(world, sender)


async def a_scheduler_dies_once_the_cursor_has_moved(world: World) -> None:
    scheduler = world.schedulers[0]
    await turn(world, scheduler, until="mailing_work.release")
    await world.open(scheduler)
    await world.crash(scheduler)


async def a_replay_is_done_while_a_completion_is_stalled(world: World) -> None:
    stalled, other = world.schedulers
    await turn(world, stalled)
    await deliver(world, world.senders[0], reply=Reply.PERMANENT)
    world.pass_s(1)
    await turn(world, stalled, until="mailing_work.complete")
    await replay(world, 1)
    world.pass_s(61)
    await turn(world, other)
    await turn(world, other)
    await go_on(world, stalled)


SCHEDULES: dict[str, Schedule] = {
    "ack-before-record": Schedule(a_sender_dies_before_it_has_recorded),
    "record-without-token": Schedule(an_answer_comes_after_the_claim_was_outlived),
    "outlived-at-any-age": Schedule(a_command_comes_again_while_its_call_is_under_way),
    "retrying-just-acked": Schedule(a_sender_dies_before_it_has_published_the_retry),
    "cached-mailing": Schedule(a_mailing_is_paused_between_two_messages, TWO_CLIENTS),
    "cursor-before-confirms": Schedule(a_scheduler_dies_once_the_cursor_has_moved),
    "complete-without-lease": Schedule(a_replay_is_done_while_a_completion_is_stalled),
}
"""By the mistake that each shows."""
