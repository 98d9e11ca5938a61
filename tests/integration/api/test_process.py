"""The API as a process: how it starts, what it logs, and how it stops."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.ports import free_ports
from services.api.server import listen

ROOT = Path(__file__).parents[3]
LIMIT_S = 30


@contextmanager
def process(log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m services.api`, its log in a file; killed if a test leaves it running."""
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", "services.api"],
            cwd=ROOT,
            env={**os.environ, "LOG_FORMAT": "json", **environment},
            stdout=output,
            stderr=output,
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def wait_for(log: Path, event: str) -> dict[str, Any]:
    """The first line of this event."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for line in lines(log):
            if line["event"] == event:
                return line
        time.sleep(0.05)
    raise AssertionError(f"no {event} in the log: {log.read_text()}")


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_asked(
    tmp_path: Path, vhost_amqp_url: str, mongo_url: str, database: str, asked_by: signal.Signals
) -> None:
    log = tmp_path / "api.log"
    servers = {"AMQP_URL": vhost_amqp_url, "MONGO_URL": mongo_url, "MONGO_DATABASE": database}
    with process(log, **servers, API_PORT="0") as started:
        # Given an API on any free port, and a connection that is kept
        port = wait_for(log, "api.listening")["port"]
        wait_for(log, "dependency.up")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_S, trust_env=False) as api:
            deadline = time.monotonic() + LIMIT_S
            while api.get("/health/ready").status_code != 200:
                assert time.monotonic() < deadline
            created = api.post(
                "/api/v1/clients", json={"phone": "79001234567"}, headers={"X-Request-ID": "mine"}
            ).json()
            assert api.get(f"/api/v1/clients/{created['id']}").status_code == 200
            # When it is asked to stop
            asked_at = time.monotonic()
            started.send_signal(asked_by)
            # Then it ends soon, and says that all went well
            assert started.wait(LIMIT_S) == 0
            assert time.monotonic() - asked_at < 10
    # And its log tells of each request in one line that can be found by its id, without anybody's phone
    of_request = [line for line in lines(log) if line.get("request_id") == "mine"]
    answered = [line for line in of_request if line["event"] == "request.answered"]
    assert [(one["method"], one["path"], one["status"]) for one in answered] == [("POST", "/api/v1/clients", 201)]
    assert answered[0]["duration_ms"] > 0
    assert "client.created" in {line["event"] for line in of_request}
    shown = [line for line in lines(log) if line.get("path") == "/api/v1/clients/{client_id}"]
    assert [line["client_id"] for line in shown] == [created["id"]]
    assert {line["service"] for line in lines(log)} == {"api"}
    assert "79001234567" not in log.read_text()


def test_it_stops_when_neither_store_nor_broker_ever_came(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    nowhere, neither = free_ports(2)
    with process(
        log,
        AMQP_URL=f"amqp://guest:guest@127.0.0.1:{nowhere}/",
        MONGO_URL=f"mongodb://127.0.0.1:{neither}/?directConnection=true",
        API_PORT="0",
    ) as started:
        port = wait_for(log, "api.listening")["port"]
        assert httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False).status_code == 200
        wait_for(log, "dependency.down")
        started.terminate()
        assert started.wait(LIMIT_S) == 0
    assert "Traceback" not in log.read_text()


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with process(log, API_PORT=str(port)) as started:
            assert started.wait(LIMIT_S) == 1
    [line] = lines(log)
    assert (line["event"], line["address"]) == ("api.cannot_listen", f"127.0.0.1:{port}")
    assert "in use" in line["why"]


def test_a_listening_socket_is_the_one_that_was_asked_for() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert listening.family is socket.AF_INET
        assert listening.getsockname()[1] > 0
