"""The servers that campaign runs share: those of the test session."""

import pytest

from tests.chaos.servers import Shared


@pytest.fixture(scope="session")
def shared(amqp_url: str, management_url: str, mongo_url: str) -> Shared:
    return Shared(amqp_url, management_url, mongo_url)
