"""Ports: a taken one is told with what needs it and how to change it."""

import socket
from collections.abc import Iterator

import pytest

from deploy.local import ports
from deploy.local.ports import PortNeed, PortTaken, free_ports, held_ports, is_free, refuse_taken


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_different_and_free() -> None:
    found = free_ports(20)
    assert len(set(found)) == 20
    assert all(is_free(port) for port in found)


def test_a_held_port_is_refused_to_others_and_served_by_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with held_ports(1) as [port]:
        # When others look for ports and can find no other one
        monkeypatch.setattr(ports, "LOWEST_PORT", port)
        monkeypatch.setattr(ports, "HIGHEST_PORT", port)
        with pytest.raises(PortTaken, match="no 1 free ports"):
            free_ports(1)
        # Then its server can come, go and come again
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            with socket.create_server(("127.0.0.1", port)):
                socket.create_connection(("127.0.0.1", port)).close()


def test_a_taken_port_is_named_with_its_need_and_its_variable(taken_port: int) -> None:
    with pytest.raises(PortTaken, match=rf"port {taken_port}, which the API needs, is taken.*API_PORT=PORT"):
        refuse_taken([PortNeed(taken_port, "the API", "API_PORT")])


def test_a_port_that_is_taken_on_all_addresses_is_taken() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))  # noqa: S104  that is the case
        listener.listen()
        assert not is_free(listener.getsockname()[1])


def test_a_port_that_is_wanted_twice_is_told() -> None:
    (port,) = free_ports(1)
    with pytest.raises(PortTaken, match="by the API and by the store"):
        refuse_taken([PortNeed(port, "the API", "API_PORT"), PortNeed(port, "the store", "STORE_PORT")])
