"""How long the API takes while the provider is slow, or hangs, and a mailing runs: `python -m tests.chaos.api_latency`.

Each common call, at the same store: while the mailing is paused and nothing goes on, while it runs over a provider that
answers at once, over one that answers after five seconds, over one that never answers, and paused once more: how much
the machine itself has changed meanwhile. The table on standard output is Markdown.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.e2e.system import Audience, System, running_system
from tests.support import servers
from tests.support.eventually import eventually
from tests.support.isolation import fresh_database, fresh_vhost

AUDIENCE = 20_000
LATENCY_S = 5.0
GATES = 4  # requests at once
UNDER_WAY = 32  # calls at the provider, at least, when measuring begins
RATE_PER_S = 100  # of the mailing: what is told apart is waiting, not two cores that are busy with messages


@dataclass(frozen=True)
class Ask:
    """A common call; `path` may name {client}, {message} and {mailing}, `body` is made with a number of its own."""

    name: str
    method: str
    path: str
    body: Callable[[int], dict[str, Any]] = lambda number: {}


ASKS = (
    Ask("create a client", "POST", "/clients", lambda number: {"phone": f"7{number}"}),
    Ask("show a client", "GET", "/clients/{client}"),
    Ask("edit a client", "PATCH", "/clients/{client}", lambda number: {"attributes": {"seen": str(number)}}),
    Ask("list clients", "GET", "/clients?limit=50"),
    Ask("list mailings", "GET", "/mailings?limit=50"),
    Ask("show the mailing", "GET", "/mailings/{mailing}"),
    Ask("edit the mailing", "PATCH", "/mailings/{mailing}", lambda number: {"name": f"edited {number}"}),
    Ask("list its messages", "GET", "/mailings/{mailing}/messages?limit=50"),
    Ask("show a message", "GET", "/messages/{message}"),
    Ask("its statistics", "GET", "/statistics/{mailing}"),
    Ask("overall statistics", "GET", "/statistics"),
)

Took = dict[str, list[float]]


def percentile(values: list[float], share: float) -> float:
    """The least value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


async def measure(system: System, names: dict[str, int], numbers: Iterator[int], times: int) -> Took:
    """Milliseconds of each call, all kinds in turn, a few at once."""
    took_ms: Took = {ask.name: [] for ask in ASKS}
    turns = iter(ASKS * times)

    async def work() -> None:
        for ask in turns:
            path, body = f"/api/v1{ask.path}".format(**names), ask.body(next(numbers))
            began_s = time.perf_counter()
            answer = await system.api.request(ask.method, path, json=body or None)
            took_ms[ask.name].append((time.perf_counter() - began_s) * 1_000)
            assert answer.status_code in (200, 201), f"{ask.name}: {answer.status_code} {answer.text}"

    await asyncio.gather(*(work() for _ in range(GATES)))
    return took_ms


async def run(system: System, times: int) -> dict[str, Took]:
    """The states one after the other, over one mailing."""
    audience: Audience = system.make_large_audience(AUDIENCE)
    mailing = await system.make_mailing(audience, rate_per_s=RATE_PER_S)
    path = f"/mailings/{mailing['id']}"
    await system.until(mailing, "running", sent=1)
    [message] = (await system.ask("GET", f"{path}/messages?limit=1"))["items"]
    names = {"client": audience.client_ids[-1], "message": message["id"], "mailing": mailing["id"]}
    numbers = count(9_000_000_000)

    await system.ask("POST", f"{path}/pause")
    await until_at_rest(system, mailing)
    await measure(system, names, numbers, 10)  # connections and caches are warm
    took = {"idle": await measure(system, names, numbers, times)}

    await system.ask("POST", f"{path}/resume")
    took["answers at once"] = await measure(system, names, numbers, times)
    await assert_busy(system, mailing, least=0)

    await system.set_faults(latency_s=LATENCY_S)
    await system.until(mailing, "running", sending=UNDER_WAY)
    took["answers after 5 s"] = await measure(system, names, numbers, times)
    await assert_busy(system, mailing)

    await system.set_faults({"kind": "hang"})
    await system.until(mailing, "running", sending=UNDER_WAY)
    took["never answers"] = await measure(system, names, numbers, times)
    await assert_busy(system, mailing, least=1)

    await system.set_faults()
    await system.ask("POST", f"{path}/pause")
    await until_at_rest(system, mailing)
    took["idle again"] = await measure(system, names, numbers, times)
    await system.ask("POST", f"{path}/cancel")
    return took


async def until_at_rest(system: System, mailing: dict[str, Any]) -> None:
    async def look() -> bool:
        counts = (await system.statistics(mailing["id"]))["counts"]
        return not counts["sending"]

    await eventually(look, "no call under way", within_s=60)


async def assert_busy(system: System, mailing: dict[str, Any], *, least: int = UNDER_WAY) -> None:
    """The mailing was still at it when measuring ended, or the figures say nothing."""
    one = await system.statistics(mailing["id"])
    assert one["status"] == "running", one["status"]
    assert one["counts"]["sending"] + one["counts"]["retrying"] >= least, one["counts"]


def table(took: dict[str, Took]) -> str:
    """Markdown: p50 / p99 in milliseconds, a column for each state."""
    every = {
        state: {**of, "all of them": [one for values in of.values() for one in values]} for state, of in took.items()
    }
    rows = ["| call | " + " | ".join(every) + " |", "| --- |" + " ---: |" * len(every)]
    for name in (*(ask.name for ask in ASKS), "all of them"):
        cells = (f"{percentile(of[name], 0.5):.1f} / {percentile(of[name], 0.99):.1f}" for of in every.values())
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


@contextmanager
def places() -> Iterator[tuple[Path, str, str, str]]:
    """A folder, and a virtual host and a database of the run's own."""
    with (
        servers.broker() as broker,
        servers.store() as store,
        TemporaryDirectory(prefix="mailrun-latency-") as folder,
        fresh_vhost(broker.amqp_url, broker.management_url) as amqp_url,
        fresh_database(store.mongo_url) as name,
    ):
        sys.stderr.write(f"broker: {broker.told}; store: {store.told}\n")
        yield Path(folder), amqp_url, store.mongo_url, name


async def main(times: int) -> None:
    with places() as (folder, amqp_url, mongo_url, database):
        async with running_system(folder, amqp_url, mongo_url, database, senders=2, schedulers=1) as system:
            took = await run(system, times)
    sys.stdout.write(f"{times} calls of each kind in each state, {GATES} at once; p50 / p99, ms.\n\n{table(took)}\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--times", type=int, default=300, help="calls of each kind in each state")
    asyncio.run(main(arguments.parse_args().times))
