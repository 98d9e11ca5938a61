"""Sequences: no id is given twice, whoever asks."""

import asyncio
import itertools
import random

from shared.store.store import Store


async def test_ranges_never_overlap(store: Store, mongo_url: str, database: str) -> None:
    # Given several processes, each with a connection of its own, that reserve ranges of a new sequence at once
    stores = [Store(mongo_url, database) for _ in range(4)]
    counts = [random.Random(3).randint(1, 500) for _ in range(40)]
    reservations = [stores[at % 4].sequences.reserve("messages", count) for at, count in enumerate(counts)]
    firsts = await asyncio.gather(*reservations)
    for one in stores:
        one.close()

    # Then no two of them share an id, and they begin at 1
    ranges = sorted((first, first + count) for first, count in zip(firsts, counts, strict=True))
    assert ranges[0][0] >= 1
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ranges))
    # And the next comes after all of them, and those of another name have nothing to do with it
    assert await store.sequences.reserve("messages", 1) >= ranges[-1][1]
    assert await store.sequences.reserve("clients", 1) == 1


async def test_ids_go_beyond_32_bits(store: Store) -> None:
    first = await store.sequences.reserve("messages", 2**33)
    assert await store.sequences.reserve("messages", 1) == first + 2**33
