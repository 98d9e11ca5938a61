"""Pace: a mailing's own rate, kept by how many of its commands are published at a time."""

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest

from services.scheduler.pace import ROOM_WAIT, STUCK_WAIT, Allowance, allowance, paced_until
from shared.domain.message import MessageStatus
from shared.store.mailing_work import LeasedMailing
from tests.unit.sender.parts import NOW, mailing


class Outstanding:
    """The messages of a mailing, so many of which are on their way."""

    def __init__(self, count: int = 0) -> None:
        self._count = count

    async def count(self, mailing_id: int, statuses: Collection[MessageStatus]) -> int:
        return self._count


def leased(rate_per_s: float | None, until: datetime | None = None) -> LeasedMailing:
    return LeasedMailing(
        mailing(rate_per_s=rate_per_s), "token", None, (), deleted=False, window_changed=False, paced_until=until
    )


async def allowed(rate_per_s: float | None, *, room: int = 500, outstanding: int = 0, until: datetime | None = None):
    return await allowance(
        leased(rate_per_s, until),
        Outstanding(outstanding),
        room=room,
        now=NOW,
    )


async def test_without_a_rate_there_is_all_the_room() -> None:
    assert await allowed(None, outstanding=10**6) == Allowance(500, 500, NOW + ROOM_WAIT)


async def test_without_room_there_is_none_for_anybody() -> None:
    assert await allowed(None, room=0) == Allowance(0, 0, NOW + ROOM_WAIT)
    assert await allowed(10, room=0) == Allowance(0, 0, NOW + ROOM_WAIT)


@pytest.mark.parametrize(
    ("rate_per_s", "commands"), [(0.01, 1), (0.5, 1), (1.9, 1), (10, 10), (450.5, 450), (10**6, 500)]
)
async def test_a_second_of_the_rate_at_a_time(rate_per_s: float, commands: int) -> None:
    assert (await allowed(rate_per_s)).commands == commands


async def test_nothing_before_the_last_second_is_used_up() -> None:
    until = NOW + timedelta(milliseconds=300)

    assert await allowed(10, until=until) == Allowance(0, 0, until)
    assert (await allowed(10, until=NOW)).commands == 10


async def test_what_is_outstanding_holds_new_commands_up_and_not_mends() -> None:
    """It may be lost, all of it: a mailing that waits for it before it mends it would wait for ever."""
    assert (await allowed(10, outstanding=20)).commands == 10

    assert await allowed(10, outstanding=21) == Allowance(0, 10, NOW + STUCK_WAIT)


@pytest.mark.parametrize(
    ("rate_per_s", "published", "wait_s"), [(10, 10, 1.0), (0.5, 1, 2.0), (1.5, 1, 1 / 1.5), (1_000, 500, 0.5)]
)
def test_what_was_published_uses_the_rate_up(rate_per_s: float, published: int, wait_s: float) -> None:
    assert paced_until(leased(rate_per_s), published=published, now=NOW) == NOW + timedelta(seconds=wait_s)


def test_what_published_nothing_uses_nothing_up() -> None:
    until = NOW + timedelta(seconds=5)

    assert paced_until(leased(10, until), published=0, now=NOW) == until
    assert paced_until(leased(None, until), published=7, now=NOW) == until


@pytest.mark.parametrize("rate_per_s", [0.5, 1.5, 7, 10, 450.5])
async def test_over_a_minute_the_rate_is_never_exceeded_and_nearly_reached(rate_per_s: float) -> None:
    now, until, published = NOW, None, 0
    while now < NOW + timedelta(seconds=60):
        one = leased(rate_per_s, until)
        allowed_now = await allowance(one, Outstanding(), room=500, now=now)
        if allowed_now.commands:
            published += allowed_now.commands
            until = paced_until(one, published=allowed_now.commands, now=now)
            now += timedelta(milliseconds=15)  # the chunk takes its time
        else:
            now = max(allowed_now.again_at, now + timedelta(milliseconds=20))

    most = rate_per_s * 60 + max(1, rate_per_s)  # the first second of the next minute, begun
    assert 0.85 * rate_per_s * 60 <= published <= most
