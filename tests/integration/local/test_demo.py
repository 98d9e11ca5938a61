"""Given `make demo`, everything agrees and nothing is left; cut off or in trouble, nothing is left either."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.leftovers import end_marked, marked_processes
from deploy.local.program import ROOT
from deploy.local.readiness import wait_until
from shared.broker.gateway import Gateway
from shared.broker.queues import QueueReader
from shared.broker.topology import SEND_QUEUE
from tests.integration.broker.consuming import Taker, consuming
from tests.support.eventually import eventually

LIMIT_S = 150
STOP_LIMIT_S = 60


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for folder in tmp_path.glob("demo-*"):
        end_marked(folder, patience_s=0)


def start_demo(data: Path, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.endswith(("_URL", "_PORT"))}
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.local", "demo", "--data", str(data), "--clients", "60"],
        cwd=ROOT,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def folders(data: Path) -> list[Path]:
    return list(data.glob("demo-*"))


def wait_for_programs(data: Path) -> Path:
    """The folder of the demo, once its programs run."""
    wait_until(
        lambda: any(len(marked_processes(folder)) > 5 for folder in folders(data)),
        "the programs",
        timeout_s=LIMIT_S,
        alive=lambda: True,
    )
    (folder,) = folders(data)
    return folder


def test_the_demo_proves_itself_and_leaves_nothing_not_even_of_one_that_was_killed(data: Path) -> None:
    # Given a demo that was killed
    killed = start_demo(data)
    left = wait_for_programs(data)
    killed.kill()
    killed.communicate(timeout=STOP_LIMIT_S)
    assert left.exists()

    # When another runs, then everything agrees
    demo = start_demo(data)
    out, _ = demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 0, out
    *_, audience, counts, _, ledger, last = out.splitlines()
    assert audience.split() == ["audience", "60"]
    assert counts.split() == ["counts", "sent", "60"]
    assert "60 calls, 60 accepted, 0 duplicates" in ledger
    assert last == "agree"

    # And nothing of either is left
    assert marked_processes(left) == []
    assert folders(data) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing(data: Path, number: signal.Signals) -> None:
    demo = start_demo(data)
    folder = wait_for_programs(data)
    demo.send_signal(number)
    out, _ = demo.communicate(timeout=STOP_LIMIT_S)
    assert demo.returncode == 130, out
    assert marked_processes(folder) == []
    assert folders(data) == []


async def test_a_demo_on_a_virtual_host_that_others_use_starts_nothing(data: Path, vhost_amqp_url: str) -> None:
    async with (
        Gateway(vhost_amqp_url, name="others", report=lambda _: None) as gateway,
        consuming(gateway, Taker()),
    ):
        reader = QueueReader(gateway)

        async def is_consumed() -> bool:
            return (await reader.depth(SEND_QUEUE)).consumers == 1

        await eventually(is_consumed, "another sender consumes", within_s=30)
        demo = start_demo(data, AMQP_URL=vhost_amqp_url)
        out, _ = await asyncio.to_thread(demo.communicate, timeout=LIMIT_S)
        await reader.close()
    assert demo.returncode == 1
    assert "AMQP_URL: 1 consume messages.send there" in out
    assert folders(data) == []


def test_a_demo_without_its_provider_fails_and_shows_the_logs(data: Path, vhost_amqp_url: str, mongo_url: str) -> None:
    # Given a broker and a store that are named, and a provider that is named and not there
    demo = start_demo(data, AMQP_URL=vhost_amqp_url, MONGO_URL=mongo_url, PROVIDER_URL="http://127.0.0.1:1/v1")
    out, _ = demo.communicate(timeout=LIMIT_S)

    # Then no others are started in their place, and what the services wrote is shown
    assert demo.returncode == 1
    assert "demo: GET http://127.0.0.1:1/ledger/summary" in out
    assert "the end of sender.log" in out
    assert not any(f"the end of {name}.log" in out for name in ("fake-provider", "rabbitmq", "store"))
    assert folders(data) == []
