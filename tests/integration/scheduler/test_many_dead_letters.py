"""Given more dead letters than the broker settles at once, when they are walked, then what was acked stays away."""

import pytest

from services.scheduler.walk import BATCH
from tests.integration.scheduler.scheduling import Hands, MovableClock
from tests.integration.scheduler.watching import DEAD, Watching, ids, letter_of
from tests.integration.sender.planting import Planting


@pytest.mark.parametrize("dead", [20, BATCH // 2 - 5, BATCH])
async def test_a_walk_leaves_one_entry_of_each(world: Planting, hands: Hands, clock: MovableClock, dead: int) -> None:
    watching = Watching(world, hands, clock)
    mailing_id = await world.mailing()
    message_ids = await world.messages(mailing_id, await world.clients(dead), **DEAD)
    for message_id in [*message_ids, *message_ids]:
        await letter_of(world, message_id)

    await watching.look_for_long()

    assert ids(await world.letters()) == message_ids
