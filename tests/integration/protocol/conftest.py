"""A bench for worlds, over the store of the session."""

from collections.abc import Iterator

import pytest

from tests.integration.protocol.bench import Bench, bench


@pytest.fixture
def worlds(mongo_url: str, database: str) -> Iterator[Bench]:
    with bench(mongo_url, database) as made:
        yield made
