"""Ports: a taken one is told with what needs it and how to change it."""

import socket
from collections.abc import Iterator

import pytest

from deploy.local.ports import PortNeed, PortTaken, free_ports, is_free, refuse_taken


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


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
