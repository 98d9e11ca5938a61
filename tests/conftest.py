"""Servers for tests: `amqp_url`, `management_url`, `mongo_url`; and of one's own: `vhost_amqp_url`, `database`."""

import signal
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import servers
from tests.support.isolation import fresh_database, fresh_vhost

CHOSEN = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHOSEN] = []
    # A SIGTERM, too, is to stop the servers: it interrupts the tests as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header() -> str:
    return servers.told_in_advance()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes of pytest-xdist, each with its own servers
        session.config.workeroutput["servers"] = session.config.stash[CHOSEN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[CHOSEN] += getattr(node, "workeroutput", {}).get("servers", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line, sessions in Counter(config.stash[CHOSEN]).items():
        terminalreporter.write_line(line if sessions == 1 else f"{line}, {sessions} times")


@pytest.fixture(scope="session")
def broker_server(pytestconfig: pytest.Config) -> Iterator[servers.Broker]:
    """The broker of the session."""
    with servers.broker() as broker:
        pytestconfig.stash[CHOSEN].append(f"broker: {broker.told}")
        yield broker


@pytest.fixture(scope="session")
def amqp_url(broker_server: servers.Broker) -> str:
    """Where the session's broker is. What a test declares there stays: prefer `vhost_amqp_url`."""
    return broker_server.amqp_url


@pytest.fixture(scope="session")
def management_url(broker_server: servers.Broker) -> str:
    """The management API of the session's broker, up to before "/api", user and password included."""
    return broker_server.management_url


@pytest.fixture(scope="session")
def mongo_url(pytestconfig: pytest.Config) -> Iterator[str]:
    """Where the session's store is. Use it with the name that `database` gives."""
    with servers.store() as store:
        pytestconfig.stash[CHOSEN].append(f"store: {store.told}")
        yield store.mongo_url


@pytest.fixture
def vhost_amqp_url(amqp_url: str, management_url: str) -> Iterator[str]:
    """Address of a virtual host of the test's own, deleted afterwards."""
    with fresh_vhost(amqp_url, management_url) as url:
        yield url


@pytest.fixture
def database(mongo_url: str) -> Iterator[str]:
    """Name of a database of the test's own, dropped afterwards."""
    with fresh_database(mongo_url) as name:
        yield name
