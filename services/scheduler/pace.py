"""Pace: a mailing's own `rate_per_s`, kept by how many of its commands are published at a time.

In the sender it would hold up the queue for everybody behind.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.message import QUEUED, SENDING
from shared.store.mailing_work import LeasedMailing
from shared.store.messages import Messages

OUTSTANDING_S = 2.0  # so many seconds of the rate may be on their way; more, and the senders are behind
LONGEST_PACE_S = 30 * 86_400.0  # a rate may be as small as it likes
STUCK_WAIT = timedelta(milliseconds=500)
ROOM_WAIT = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many commands of a mailing may be published now.

    Attributes:
        commands: for messages of which none is under way.
        mends: for messages whose command must have been lost. What is outstanding does not count against these: it
            may be they, all of it.
        again_at: when there may be more.
    """

    commands: int
    mends: int
    again_at: datetime


async def allowance(leased: LeasedMailing, messages: Messages, *, room: int, now: datetime) -> Allowance:
    """What backpressure's `room` and the mailing's own rate leave."""
    rate_per_s = leased.mailing.rate_per_s
    if rate_per_s is None or room == 0:
        return Allowance(room, room, now + ROOM_WAIT)
    if leased.paced_until is not None and leased.paced_until > now:
        return Allowance(0, 0, leased.paced_until)
    by_rate = min(room, max(1, int(rate_per_s)))
    outstanding = await messages.count(leased.mailing.id, {QUEUED, SENDING})
    if outstanding > math.ceil(rate_per_s * OUTSTANDING_S):
        return Allowance(0, by_rate, now + STUCK_WAIT)
    return Allowance(by_rate, by_rate, now)


def paced_until(leased: LeasedMailing, *, published: int, now: datetime) -> datetime | None:
    """Until when so many published commands use up the mailing's rate."""
    rate_per_s = leased.mailing.rate_per_s
    if rate_per_s is None or not published:
        return leased.paced_until
    return now + timedelta(seconds=min(published / rate_per_s, LONGEST_PACE_S))
