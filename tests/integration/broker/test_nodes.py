"""Given a URL of several nodes, a gateway takes the next one at each attempt, so that it finds whoever is alive."""

import asyncio
import random
from urllib.parse import urlsplit, urlunsplit

import pytest

from deploy.local.ports import free_ports
from shared.broker import publisher
from shared.broker.gateway import Gateway
from shared.broker.topology import ExchangeName
from shared.contracts.commands import SendCommand
from shared.errors import BrokerUnavailable
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually


def several(vhost: Vhost, *ports: int) -> str:
    """The address of nodes on these ports of this machine."""
    parts = urlsplit(vhost.amqp_url)
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{hosts}"))


@pytest.fixture
def first_node_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin at the first node instead of at a random one."""
    monkeypatch.setattr(random, "randrange", lambda _: 0)


@pytest.mark.usefixtures("first_node_first")
async def test_a_dead_first_node_is_passed_by(vhost: Vhost) -> None:
    dead, alive = free_ports(2)
    reports: list[str] = []
    async with (
        Relay(vhost.amqp_url, port=alive) as relay,
        Gateway(several(vhost, dead, alive), name="second", report=reports.append) as gateway,
    ):
        await gateway.connection(within_s=20)
        assert relay.connections == 1
        await eventually(lambda: asyncio.sleep(0, reports[-1] == "up"), "it says so", within_s=30)
    assert reports[0].startswith("away: ")
    assert str(dead) in reports[0]


async def test_one_that_comes_is_found_among_dead_ones(vhost: Vhost) -> None:
    # Given nobody at any of three addresses
    ports = free_ports(3)
    reports: list[str] = []
    async with Gateway(several(vhost, *ports), name="late", report=reports.append) as gateway:
        with pytest.raises(BrokerUnavailable):
            await gateway.connection(within_s=2)

        # Then all three have been tried
        tried = {port for port in ports if any(str(port) in report for report in reports)}
        assert tried == set(ports)
        assert "up" not in reports

        # And when the last of them comes, then there is a connection
        async with Relay(vhost.amqp_url, port=ports[2]):
            await gateway.connection(within_s=20)


@pytest.mark.usefixtures("first_node_first")
async def test_after_a_loss_the_next_node_is_taken(vhost: Vhost) -> None:
    async with Relay(vhost.amqp_url) as one, Relay(vhost.amqp_url) as two:
        ports = [urlsplit(relay.url).port or 0 for relay in (one, two)]
        async with Gateway(several(vhost, *ports), name="next", report=lambda _: None) as gateway:
            connection = await gateway.connection(within_s=20)
            assert (one.connections, two.connections) == (1, 0)
            one.cut()

            async def another() -> bool:
                return await gateway.connection(within_s=20) is not connection

            await eventually(another, "there is another connection", within_s=20)
            assert (one.connections, two.connections) == (1, 1)


async def test_gateways_spread_over_the_nodes(vhost: Vhost) -> None:
    async with Relay(vhost.amqp_url) as one, Relay(vhost.amqp_url) as two:
        ports = [urlsplit(relay.url).port or 0 for relay in (one, two)]
        for _ in range(24):  # all on one side once in 2 ** 23 runs
            async with Gateway(several(vhost, *ports), name="spread", report=lambda _: None) as gateway:
                await gateway.connection(within_s=20)
        assert min(one.connections, two.connections) > 0


@pytest.mark.usefixtures("first_node_first")
async def test_a_node_that_does_not_confirm_is_left(vhost: Vhost, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a publisher whose node keeps its clients and answers nothing any more, as one does that has lost the others
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 1.0)
    async with Relay(vhost.amqp_url) as one, Relay(vhost.amqp_url) as two:
        ports = [urlsplit(relay.url).port or 0 for relay in (one, two)]
        async with Gateway(several(vhost, *ports), name="leaves", report=lambda _: None) as gateway:
            publishing = publisher.Publisher(gateway)
            command = publisher.Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, b"one")
            assert await publishing.publish(command, within_s=20) is False
            one.silence()

            # When it publishes, then it does so over the next node, and says that it may have done so before
            assert await publishing.publish(command, within_s=60) is True
            assert two.connections == 1


async def test_with_one_node_there_is_nothing_better_than_to_wait(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_S", 0.5)
    async with (
        Relay(vhost.amqp_url) as relay,
        Gateway(relay.url, name="stays", report=lambda _: None) as gateway,
    ):
        await gateway.connection(within_s=20)
        relay.silence()
        command = publisher.Publication(ExchangeName.MESSAGES, SendCommand.ROUTING_KEY, b"one")
        with pytest.raises(BrokerUnavailable):
            await publisher.Publisher(gateway).publish(command, within_s=2)
        relay.speak()
        assert relay.connections == 1
