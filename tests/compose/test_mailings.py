"""Mailings through the containers: nothing lost, nothing doubled unmarked, whatever container goes away."""

from tests.compose.mailing import Mailing
from tests.compose.running import RunningStack

CLIENTS = 300


def test_a_mailing_through_three_senders_agrees_with_the_ledger(stack: RunningStack) -> None:
    # Given three senders and a provider that takes a moment, so that each has its share
    stack.set_latency_s(0.2)

    # When a mailing to 300 clients is created
    mailing = Mailing.launch(stack, clients=CLIENTS)
    mailing.wait_until_completed(limit_s=60)

    # Then everybody has it once
    mailing.assert_agrees_with_ledger()
    assert set(mailing.accepted().values()) == {1}
    # And no sender was idle
    assert all(mailing.shares().values()), mailing.shares()


def test_a_killed_sender_loses_nothing(stack: RunningStack) -> None:
    # Given a mailing in the middle
    stack.set_latency_s(0.4)
    mailing = Mailing.launch(stack, clients=CLIENTS)
    mailing.wait_until_accepted(CLIENTS // 6)

    # When one of the three senders is killed
    stack.docker("kill", "--signal", "KILL", stack.containers("sender")[0].name)
    assert mailing.read()["status"] == "running"

    # Then the others finish its work, once its claims are outlived
    stack.set_latency_s(0)
    mailing.wait_until_completed(limit_s=150)
    messages = mailing.assert_agrees_with_ledger()
    # And the kill hit calls under way, whose outcome nobody can know
    assert any(message["ambiguous"] for message in messages)


def test_a_restarted_broker_loses_nothing(stack: RunningStack) -> None:
    # Given a mailing in the middle
    stack.set_latency_s(0.4)
    mailing = Mailing.launch(stack, clients=CLIENTS)
    mailing.wait_until_accepted(CLIENTS // 6)
    assert mailing.read()["status"] == "running"

    # When the broker's container is started again
    stack.docker("restart", stack.containers("rabbitmq")[0].name)
    stack.set_latency_s(0)

    # Then the mailing goes on by itself, to its end
    mailing.wait_until_completed(limit_s=150)
    mailing.assert_agrees_with_ledger()
