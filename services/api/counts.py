"""Counts: how many messages of a mailing are in each status, the same for whoever asks within a second."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.api.brief_cache import BriefCache
from shared.domain.mailing import Mailing
from shared.store.statistics import MailingCounts, Statistics

MAX_AT_ONCE = 4  # aggregations under way; more of them would only queue in the store
LARGE = 10_000  # messages: above, what is told of a mailing is counted in two parts
STALE_S = 60.0  # the second part is told up to this age while it is counted again


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that is told of an open mailing, and of when it is; the counts of a large one may be younger."""

    at: datetime
    whole: dict[str, Any]


class CountsReader:
    """Reads counts: frozen ones from the mailing, the others from the store, at most once a second each."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._counts: BriefCache[int, MailingCounts] = BriefCache()
        self._whole: BriefCache[int, Told] = BriefCache(stale_s=STALE_S, is_large=_is_large)
        self._heads: BriefCache[int, dict[str, Any]] = BriefCache()
        self._by_revision: BriefCache[int, Mapping[int, int]] = BriefCache()
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def of(self, mailing: Mailing) -> MailingCounts:
        """The counts of a mailing."""
        return (await self.of_all([mailing]))[mailing.id]

    async def of_all(self, mailings: Sequence[Mailing]) -> dict[int, MailingCounts]:
        """The counts of mailings, by id."""
        settled = [mailing for mailing in mailings if mailing.statistics is not None or not mailing.started]
        counted = await self._statistics.counts(settled)
        opened = [mailing for mailing in mailings if mailing.id not in counted]
        for mailing, counts in zip(opened, await asyncio.gather(*map(self._of_open, opened)), strict=True):
            counted[mailing.id] = counts
        return counted

    async def whole(self, mailing_id: int) -> Told:
        """Everything that is told of an open mailing: of a large one the counts as they are, the rest as it was."""

        async def load() -> Told:
            at = datetime.now(UTC)
            async with self._slots:
                return Told(at, await self._statistics.whole(mailing_id))

        async def load_head() -> dict[str, Any]:
            async with self._slots:
                return await self._statistics.head(mailing_id)

        told = await self._whole.get(mailing_id, load)
        if not _is_large(told):
            return told
        return Told(told.at, told.whole | await self._heads.get(mailing_id, load_head))

    async def sent_by_revision(self, mailing_id: int) -> Mapping[int, int]:
        """How many messages were sent from each revision of a mailing."""
        return await self._by_revision.get(mailing_id, lambda: self._statistics.sent_by_revision(mailing_id))

    async def _of_open(self, mailing: Mailing) -> MailingCounts:
        async def load() -> MailingCounts:
            async with self._slots:
                return (await self._statistics.counts([mailing]))[mailing.id]

        return await self._counts.get(mailing.id, load)


def _is_large(told: Told) -> bool:
    return bool(told.whole["audience_size"] > LARGE)
