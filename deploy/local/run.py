"""`make run`: the whole system, kept running until it is told to stop."""

import sys
import time
from contextlib import suppress
from pathlib import Path

from deploy.local.announcement import SystemEnded, announce
from deploy.local.choices import read_environment
from deploy.local.follow import LogFollower
from deploy.local.interrupts import interrupt_on_signals
from deploy.local.leftovers import end_marked, only_run
from deploy.local.plan import Plan, plan_system
from deploy.local.ports import refuse_taken
from deploy.local.program import Stage
from deploy.local.supervisor import Supervisor

LEFTOVERS_PATIENCE_S = 10
POLL_S = 0.5


def run(folder: Path) -> int:
    """Start the system, print where its parts are, follow its logs until a signal comes, stop it.

    Args:
        folder: where the system keeps its data; gone on with when it is there.

    Returns:
        Exit status: 0 after a stop that was asked for.

    Raises:
        BadChoice, RabbitMissing, PortTaken, AlreadyRunning: before anything was started.
        SystemEnded: it did not come up, or the supervisor was ended by somebody else.
    """
    choices, settings = read_environment()
    with only_run(folder):
        end_marked(folder, patience_s=LEFTOVERS_PATIENCE_S)
        plan = plan_system(folder, choices, settings)
        refuse_taken(plan.port_needs)
        supervisor = Supervisor(folder, plan.programs, plan.environment)
        interrupt_on_signals()
        follower = None
        try:
            supervisor.start()
            print(f"starting {', '.join(program.name for program in plan.programs)}", flush=True)
            announce(supervisor, plan)
            follower = _follow_logs(supervisor, plan)
            while supervisor.is_running:
                time.sleep(POLL_S)
            raise SystemEnded(f"the supervisor was ended, and everything with it; its log: {supervisor.log}")
        except KeyboardInterrupt:
            _tell("stopping")
            return 0
        finally:
            supervisor.stop()
            if follower is not None:
                follower.stop()
            _tell(f"stopped; the data are kept in {folder}")


def _follow_logs(supervisor: Supervisor, plan: Plan) -> LogFollower:
    """From now on, print what our own processes write, and what the supervisor says of all.

    The servers write much that is of no interest here; it is in their files.
    """
    ours = [program.name for program in plan.programs if program.stage is not Stage.SERVERS]
    print(f"their logs follow; those of all are in {supervisor.log.parent}", flush=True)
    follower = LogFollower(
        {"supervisor": supervisor.log} | {name: supervisor.log_of(name) for name in ours}, sys.stdout
    )
    follower.start()
    return follower


def _tell(line: str) -> None:
    with suppress(OSError):  # the terminal may be gone, which may be why all this is stopped
        print(line, flush=True)
