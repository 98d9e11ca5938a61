"""Given a provider that accepts and does not say so, then `resend` calls again and says so, and `hold` waits."""

from collections import Counter
from typing import Any

import aiohttp
import pytest

from shared.domain.message import OnUnknown
from tests.integration.sender.planting import Planting
from tests.integration.sender.running import Senders
from tests.support.eventually import eventually
from tests.unit.fake_provider.running import read_entries, set_faults

MESSAGES = 12
UNSAID = 8


@pytest.mark.parametrize(
    ("policy", "statuses", "calls_of_each"),
    [
        (OnUnknown.RESEND, {"sent": MESSAGES}, {1: MESSAGES - UNSAID, 2: UNSAID}),
        (OnUnknown.HOLD, {"sent": MESSAGES - UNSAID, "unknown": UNSAID}, {1: MESSAGES}),
    ],
)
async def test_what_nobody_can_know_is_marked_and_counted(
    world: Planting,
    senders: Senders,
    control: aiohttp.ClientSession,
    policy: OnUnknown,
    statuses: dict[str, int],
    calls_of_each: dict[int, int],
) -> None:
    # Given a provider that accepts everything, and answers the first eight calls with 502
    fault: dict[str, Any] = {"kind": "status", "code": 502, "accepts": 1.0, "times": UNSAID}
    await set_faults(control, fault)
    mailing_id = await world.mailing(on_unknown=policy)
    message_ids = await world.messages(mailing_id, await world.clients(MESSAGES))
    await world.commands(message_ids, mailing_id)

    # When a sender works, then they end as the policy says
    async def ended() -> bool:
        return await world.statuses(mailing_id) == statuses

    async with senders.one():
        await eventually(ended, f"{policy}: {statuses}")

    # And the ledger has two accepted calls of none but those that are marked, if of any
    accepted = Counter(call["message_id"] for call in await read_entries(control) if call["accepted"])
    assert Counter(accepted.values()) == calls_of_each
    marked = {message_id for message_id in message_ids if (await world.found(message_id))["ambiguous"]}
    assert len(marked) == UNSAID
    assert {message_id for message_id, times in accepted.items() if times > 1} <= marked

    # And the statistics count them
    assert (await world.store.statistics.whole(mailing_id))["ambiguous"] == UNSAID
