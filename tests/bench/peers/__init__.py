"""Peers: what people use instead, on the same work.

The same broker, store, provider and record per message: consume a command, call the provider, write the outcome into
the message's document with the same concerns, ack. Each is written as its own documentation recommends.
"""

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.cpu import cpu_s
from tests.bench.figures import Figure
from tests.bench.peers.feeding import feed
from tests.bench.places import ROOT, Places
from tests.bench.planting import Planting
from tests.bench.throughput import MAILING, rate

COMMANDS = {
    "celery": (
        *("-m", "celery", "-A", "tests.bench.peers.celery_sender", "worker", "--pool", "gevent", "--concurrency", "64"),
        *("--loglevel", "WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
    "faststream": ("-m", "tests.bench.peers.faststream_sender"),
}


async def measure(at: Places, peer: str, *, count: int) -> Figure:
    """Messages per second of one worker process, from the first call to the last."""
    with at.fresh() as (amqp_url, database), TemporaryDirectory(prefix="mailrun-bench-") as folder:
        planting = Planting(at.mongo_url, database)
        await planting.prepare()
        await planting.messages(MAILING, count)
        await feed(peer, amqp_url, count)
        await at.forget_calls()
        environment = {
            **os.environ,
            "AMQP_URL": amqp_url,
            "MONGO_URL": at.mongo_url,
            "MONGO_DATABASE": database,
            "PROVIDER_URL": at.provider_url,
        }
        with (Path(folder) / "log").open("wb") as log:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, *COMMANDS[peer]), cwd=ROOT, env=environment, stdout=log, stderr=log
            )
        try:
            await at.until_called(1)
            before_s = cpu_s(worker.pid)
            calls = await at.until_called(count)
            while await planting.count("sent") < count:
                await asyncio.sleep(0.2)
            return Figure(rate(calls, count), cpu_ms={"process": (cpu_s(worker.pid) - before_s) * 1_000 / count})
        finally:
            worker.terminate()
            await worker.wait()
