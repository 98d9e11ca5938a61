"""The rules: what may happen next, in any order that hypothesis can think of."""

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.scheduler.tools import LEASE_S
from services.sender.task import CLAIM_LIMIT_S
from shared.domain.mailing import Action
from shared.domain.message import DEAD
from tests.integration.protocol.bench import Bench
from tests.integration.protocol.healing import heal
from tests.integration.protocol.operators import act, opt_out, replay
from tests.integration.protocol.process import Process
from tests.integration.protocol.provider import Reply
from tests.integration.protocol.services import Scheduler, Sender
from tests.integration.protocol.world import Conditions, World

LONG_S, SHORT_S = 864_000.0, 150.0

CONDITIONS = st.builds(
    Conditions,
    mending=st.booleans(),
    hold=st.booleans(),
    clients=st.integers(1, 3),
    mailings=st.sampled_from([1, 1, 2]),
    ends_after=st.sampled_from([LONG_S, LONG_S, SHORT_S]),
)
REPLIES = st.sampled_from([Reply.ACCEPTED, Reply.ACCEPTED, *Reply])
WHO = st.integers(0, 3)
WHICH = st.integers(0, 1)
WORK: dict[str, Any] = {
    "what": st.sampled_from(["command", "command", "acts", "acts", "turn", "end", "ack"]),
    "who": WHO,
    "which": WHICH,
    "acts": st.integers(1, 8),
    "reply": REPLIES,
}
HAPPENS = ["time", "time", "time", "answer lost", "nobody there", "channel", "channel", "ghost", "wipe"]
PASTS = st.sampled_from(["nothing", "queued", "queued", "failed"])
MOST_ACTS = 40
OUTLIVED_S = CLAIM_LIMIT_S + 1


class Protocol(RuleBasedStateMachine):
    """Two senders, two schedulers, operators, a broker and time."""

    bench: ClassVar[Bench]
    plant: ClassVar[Callable[[Process], None]]
    conditions: ClassVar[Any] = CONDITIONS
    pasts: ClassVar[Any] = PASTS

    def __init__(self) -> None:
        super().__init__()
        self.world: World | None = None

    @property
    def _world(self) -> World:
        assert self.world is not None
        return self.world

    @initialize(data=st.data())
    def begin(self, data: Any) -> None:
        """A new world; or one in which the mailing is planned already, or has failed for everybody."""
        self.world = self.bench.world(data.draw(self.conditions, label="conditions"), type(self).plant)
        self._run(self._begin(data.draw(self.pasts, label="past")))

    async def _begin(self, past: str) -> None:
        world = self._world
        world.tell(f"{world.conditions}")
        await world.begin()
        if past == "nothing":
            return
        scheduler = world.schedulers[0]
        for _ in range(2 * world.conditions.mailings + 2):
            await self._begin_act(scheduler, "turn", MOST_ACTS)
        while past == "failed" and world.broker.send:
            await self._deliver(world.senders[0], 0, MOST_ACTS, Reply.PERMANENT)
            world.ack(world.senders[0])

    # --- everybody goes on ---

    @rule(**WORK)
    def work(self, what: str, who: int, which: int, acts: int, reply: Reply) -> None:
        self._run(self._work(what, who, which, acts, reply))

    @rule(**WORK)
    def work_more(self, what: str, who: int, which: int, acts: int, reply: Reply) -> None:
        """The same: half of all that happens is work."""
        self._run(self._work(what, who, which, acts, reply))

    async def _work(self, what: str, who: int, which: int, acts: int, reply: Reply) -> Process:
        """A sender is given a command, a scheduler begins a turn, or whoever is at something goes on, or to its end.

        One rule for all of it: an example in which one of these never happens comes to nothing.

        Returns:
            Who worked.
        """
        world, busy = self._world, [one for one in self._world.processes if one.waiting()]
        process: Process = world.senders[who % 2] if what in ("command", "ack") else world.schedulers[who % 2]
        if what == "ack":
            world.ack(world.senders[who % 2])
        elif what == "command" and world.broker.send:
            await self._deliver(world.senders[who % 2], which, acts, reply)
        elif what in ("acts", "end") and busy:
            process = busy[who % len(busy)]
            await self._go_on(process, MOST_ACTS if what == "end" else 1 + acts // 3, which, reply)
        else:
            process = world.schedulers[who % 2]
            await self._begin_act(world.schedulers[who % 2], "turn", MOST_ACTS if which else acts)
        return process

    async def _go_on(self, process: Process, acts: int, which: int, reply: Reply) -> None:
        for _ in range(acts):
            if not await self._world.open(process, which, reply=reply):
                return

    async def _deliver(self, sender: Sender, which: int, acts: int, reply: Reply) -> None:
        self._world.deliver(sender, which)
        await self._world.settle()
        await self._go_on(sender, acts, 0, reply)

    async def _begin_act(self, scheduler: Scheduler, act: str, acts: int) -> None:
        scheduler.begin(act)
        await self._world.settle()
        await self._go_on(scheduler, acts, 0, Reply.ACCEPTED)

    # --- time and faults ---

    @rule(**WORK, leave_ghosts=st.booleans())
    def die(self, what: str, who: int, which: int, acts: int, reply: Reply, leave_ghosts: bool) -> None:
        """Somebody works, and dies at it."""
        process = self.bench.run(self._work(what, who, which, acts, reply))
        if self._may_fail(process):
            haunts = leave_ghosts and (self._world.conditions.mending or isinstance(process, Sender))
            self._run(self._world.crash(process, leave_ghosts=haunts))

    @rule(**WORK)
    def stall(self, what: str, who: int, which: int, acts: int, reply: Reply) -> None:
        """Somebody works, and is stopped in the middle of it for longer than its claim or its lease lasts."""
        process = self.bench.run(self._work(what, who, which, acts, reply))
        self._world.tell(f"{process.name} is stopped for a while")
        if isinstance(process, Sender):
            self._world.lose_channel(process)
        self._world.pass_s(OUTLIVED_S if isinstance(process, Sender) else LEASE_S + 1)

    def _may_fail(self, process: Process) -> bool:
        """Without mending, a scheduler that has queued messages and not published their commands loses them, as known.

        Such is the release and the replay, not the fan-out.
        """
        return self._world.conditions.mending or not getattr(process, "owes_commands", False)

    @rule(what=st.sampled_from(HAPPENS), who=WHO, which=WHICH, seconds=st.sampled_from([6.0, 31.0, 31.0, 61.0]))
    def happen(self, what: str, who: int, which: int, seconds: float) -> None:
        """Time passes; the store or the broker does not answer; something comes late, or is lost."""
        world = self._world
        asking = [one for one in world.processes if world.conditions.mending or isinstance(one, Sender)]
        holding = [one for one in world.senders if one.channel.has_unacked]
        if what == "time":
            world.pass_s(seconds)
        elif what in ("answer lost", "nobody there"):
            self._run(world.fail(asking[who % len(asking)], which, done=what == "answer lost"))
        elif what == "channel" and holding:
            world.lose_channel(holding[who % len(holding)])
        elif what == "ghost" and world.ghosts:
            self._run(world.haunt())
        elif what == "wipe" and who == 0 and world.conditions.mending and not world.wiped:
            world.wipe()

    # --- operators ---

    @rule(
        what=st.sampled_from(
            ["pause", "resume", "resume", "replay", "replay", "cancel", "opt out", "letters", "ended"]
        ),
        which=st.integers(0, 2),
        rarely=WHO,
    )
    def operate(self, what: str, which: int, rarely: int) -> None:
        """Somebody wants something from outside, or one of the slow loops of a scheduler looks after its own."""
        world, mailing_id = self._world, 1 + which % self._world.conditions.mailings
        if what == "pause" or what == "resume":
            self._run(act(world, Action(what), mailing_id))
        elif what == "cancel" and rarely == 0:
            self._run(act(world, Action.CANCEL, mailing_id))
        elif what == "opt out" and rarely == 0:
            self._run(opt_out(world, 1 + which % world.conditions.clients))
        elif what == "replay" and any(one["status"] in DEAD for one in world.promises.messages.values()):
            self._run(replay(world, mailing_id))
        elif what == "letters" or what == "ended":
            self._run(self._begin_act(world.schedulers[which % 2], what, 2 + rarely))

    # --- and the promises ---

    @invariant()
    def nothing_is_broken(self) -> None:
        if self.world is not None:
            self._check()

    def _check(self) -> None:
        broken = [*self._world.promises.broken, *self.bench.contained]
        assert not broken, "\n".join([*broken, "", *self._world.story])

    def _run(self, work: Any) -> None:
        self.bench.run(work)

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if not self._world.promises.broken and not self.bench.contained:
                self._run(heal(self._world))
                self._check()
        finally:
            self._run(self.bench.end_tasks())
            self.world = None
