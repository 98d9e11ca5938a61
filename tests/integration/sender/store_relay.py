"""Store relay: a network between a sender and its store."""

from urllib.parse import urlunsplit

from tests.integration.broker.relay import Relay


class StoreRelay(Relay):
    """As the broker's, to a store without users."""

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(self._target._replace(netloc=f"127.0.0.1:{port}"))
