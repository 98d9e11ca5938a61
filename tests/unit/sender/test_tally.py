"""Tally: outcomes by mailing and generation, told in one write each, kept while the store is away, never in the way."""

from collections.abc import Sequence
from datetime import datetime

from services.sender import tally
from services.sender.tally import Tally
from services.sender.task import Task
from shared.domain.message import Outcome
from shared.errors import StoreUnavailable
from tests.unit.sender.parts import MAILING_ID, StillClock, task


class Told:
    """The store's side: what was told, in order."""

    def __init__(self) -> None:
        self.writes: list[tuple[int, int, list[bool]]] = []
        self.error: Exception | None = None
        self.meanwhile: list[tuple[Task, Outcome]] = []
        self.tally = Tally(self, StillClock())

    async def add(self, mailing_id: int, generation: int, outcomes: Sequence[bool], now: datetime) -> None:
        for one, outcome in self.meanwhile:
            self.tally.count(one, outcome)
        if self.error is not None:
            raise self.error
        self.writes.append((mailing_id, generation, list(outcomes)))


def read(generation: int | None = 0) -> Task:
    """A task whose mailing was read after the claim."""
    one = task()
    one.generation = generation
    return one


async def test_outcomes_of_a_mailing_are_told_in_one_write_for_each_generation() -> None:
    told = Told()
    for outcome in (Outcome.ACCEPTED, Outcome.PERMANENT, Outcome.REFUSED, Outcome.UNKNOWN):
        told.tally.count(read(), outcome)
    told.tally.count(read(1), Outcome.PERMANENT)
    await told.tally.tell()
    await told.tally.tell()

    assert told.writes == [(MAILING_ID, 0, [False, True, False, False]), (MAILING_ID, 1, [True])]


async def test_an_outcome_without_a_look_at_the_mailing_is_not_counted() -> None:
    told = Told()
    told.tally.count(read(None), Outcome.UNKNOWN)
    await told.tally.tell()

    assert told.writes == []


async def test_while_the_store_is_away_they_are_kept_in_their_order_and_at_most_a_thousand() -> None:
    told = Told()
    told.error = StoreUnavailable("away")
    told.tally.count(read(), Outcome.PERMANENT)
    told.meanwhile = [(read(), Outcome.ACCEPTED)]
    await told.tally.tell()
    told.error, told.meanwhile = None, []
    await told.tally.tell()
    assert told.writes == [(MAILING_ID, 0, [True, False])]

    for at in range(2_500):
        told.tally.count(read(), Outcome.PERMANENT if at >= 2_000 else Outcome.ACCEPTED)
    await told.tally.tell()
    assert told.writes[1] == (MAILING_ID, 0, [False] * 500 + [True] * 500)


async def test_what_cannot_be_written_is_let_go() -> None:
    told = Told()
    told.error = TypeError("a mistake of ours")
    told.tally.count(read(), Outcome.PERMANENT)
    await told.tally.tell()
    told.error = None
    await told.tally.tell()

    assert told.writes == []


async def test_mailings_beyond_a_bound_are_not_counted() -> None:
    told = Told()
    for generation in range(tally.MAX_MAILINGS + 5):
        told.tally.count(read(generation), Outcome.PERMANENT)
    await told.tally.tell()

    assert len(told.writes) == tally.MAX_MAILINGS
