"""A gateway keeps one connection up: it waits for a broker that is away, says so, and ends without a trace."""

import asyncio
import time
from urllib.parse import urlsplit, urlunsplit

import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError

from deploy.local.ports import free_ports
from shared.broker.gateway import Gateway, close_channel, is_loss
from shared.broker.topology import Topology
from shared.errors import BrokerUnavailable
from tests.integration.broker.conftest import Vhost
from tests.integration.broker.relay import Relay
from tests.support.eventually import eventually


async def test_it_waits_for_a_broker_that_is_away_at_first(vhost: Vhost) -> None:
    # Given nobody at the broker's address
    [port] = free_ports(1)
    parts = urlsplit(vhost.amqp_url)
    url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
    reports: list[str] = []
    async with Gateway(url, name="early", report=reports.append) as gateway:
        with pytest.raises(BrokerUnavailable, match=r"within 0\.5 s"):
            await gateway.connection(within_s=0.5)
        assert reports
        assert all(report.startswith("away: ") for report in reports)

        # When it comes, then there is a connection
        async with Relay(vhost.amqp_url, port=port):
            await gateway.connection(within_s=20)
            await eventually(lambda: asyncio.sleep(0, reports[-1] == "up"), "it says so", within_s=30)


async def test_it_comes_back_after_every_loss(vhost: Vhost) -> None:
    reports: list[str] = []
    async with Relay(vhost.amqp_url) as relay, Gateway(relay.url, name="again", report=reports.append) as gateway:
        for _ in range(3):
            connection = await gateway.connection(within_s=20)
            relay.cut()

            async def another() -> bool:
                return await gateway.connection(within_s=20) is not connection  # noqa: B023 - called in this round only

            await eventually(another, "there is another connection", within_s=10)
    assert [report.partition(":")[0] for report in reports if "up" in report or "lost" in report] == [
        *("up", "away") * 3,
        "up",
    ]


async def test_what_is_wrong_is_told_without_the_password(vhost: Vhost) -> None:
    parts = urlsplit(vhost.amqp_url)
    wrong = urlunsplit(parts._replace(netloc=f"nobody:verysecret@{parts.hostname}:{parts.port}"))
    nowhere = urlunsplit(parts._replace(path="/no-such-vhost"))
    for url, told in ((wrong, "refused"), (nowhere, "connection.close")):
        reports: list[str] = []
        async with Gateway(url, name="wrong", report=reports.append):
            await eventually(lambda: asyncio.sleep(0, list(reports)), "it says something", within_s=20)  # noqa: B023
        assert told in reports[0].lower()
        assert "verysecret" not in "".join(reports)


class Broken(Topology):
    """A topology that cannot be declared, for no reason that a broker would give."""

    async def declare(self, channel: AbstractChannel) -> None:
        raise KeyError("a mistake")


async def test_a_mistake_of_ours_is_told_too(vhost: Vhost) -> None:
    """Whoever waits for a connection would else wait in silence."""
    reports: list[str] = []
    async with Gateway(vhost.amqp_url, name="broken", report=reports.append, topology=Broken(())) as gateway:
        with pytest.raises(BrokerUnavailable):
            await gateway.connection(within_s=2)
    assert "KeyError" in reports[0]


async def test_a_hung_broker_holds_up_neither_its_user_nor_the_end(vhost: Vhost) -> None:
    # Given a connection to a broker that hangs
    async with Relay(vhost.amqp_url) as relay:
        async with Gateway(relay.url, name="hung", report=lambda _: None) as gateway:
            await gateway.connection(within_s=20)
            relay.silence()

            # When a channel is asked for, then that ends
            began_at_s = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="no channel"):
                await gateway.channel()
            assert time.monotonic() - began_at_s < 9

            # And so does declaring, for each of many that ask at once
            began_at_s = time.monotonic()
            asked = [asyncio.create_task(gateway.declare_again()) for _ in range(50)]
            results = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(result, BrokerUnavailable) for result in results)
            assert time.monotonic() - began_at_s < 15
            began_at_s = time.monotonic()

        # And the end
        assert time.monotonic() - began_at_s < 15


class Counted(Topology):
    """A topology that counts how often it is declared."""

    counts: list[int] = []  # noqa: RUF012 - of the one test

    async def declare(self, channel: AbstractChannel) -> None:
        self.counts.append(1)
        await super().declare(channel)


async def test_a_channel_whose_closing_nobody_waits_for_any_more_costs_no_connection(vhost: Vhost) -> None:
    async with Relay(vhost.amqp_url) as relay, Gateway(relay.url, name="closing", report=lambda _: None) as gateway:
        # Given a channel that the broker is asked to close, and whose closing it has not confirmed
        channel = await gateway.channel()
        relay.silence(answers_only=True)
        passed = relay.command_bytes
        closing = asyncio.create_task(close_channel(channel))
        await eventually(lambda: asyncio.sleep(0, relay.command_bytes > passed), "it is asked to", within_s=30)

        # When whoever waits for it is cancelled, and the broker confirms
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        relay.speak()

        # Then the connection is the same
        for _ in range(3):
            await close_channel(await gateway.channel(within_s=10))
        assert relay.connections == 1


async def test_many_who_want_it_declared_at_once_share_it(vhost: Vhost) -> None:
    topology = Counted(())
    async with Gateway(vhost.amqp_url, name="shared", report=lambda _: None, topology=topology) as gateway:
        await gateway.connection(within_s=20)
        await asyncio.gather(*(gateway.declare_again() for _ in range(200)))
    assert len(topology.counts) <= 3


async def test_whoever_waits_when_it_is_closed_is_told(vhost: Vhost) -> None:
    async with Relay(vhost.amqp_url) as relay:
        async with Gateway(relay.url, name="closed", report=lambda _: None) as gateway:
            await gateway.connection(within_s=20)
            relay.silence()
            declaring = asyncio.create_task(gateway.declare_again())
            await asyncio.sleep(0.1)
        with pytest.raises(BrokerUnavailable):
            await declaring


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (AMQPConnectionError("reset"), True),
        (ChannelInvalidStateError("closed"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (RuntimeError("Connection was not opened"), True),
        (Exception(), True),  # what aiormq fails whoever waits with, when a connection ends behind a whole frame
        (asyncio.CancelledError(), True),  # nobody has cancelled this task
        (KeyError("a mistake"), False),
        (ValueError("Routing key too long"), False),
        (KeyboardInterrupt(), False),
    ],
)
async def test_what_counts_as_a_loss(error: BaseException, lost: bool) -> None:
    assert is_loss(error) is lost


async def test_a_cancel_is_none() -> None:
    async def work() -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            return is_loss(error)
        return True

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    working.cancel()
    assert await working is False
