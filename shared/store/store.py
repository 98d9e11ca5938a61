"""Store: all collections of one database, behind one door."""

from collections.abc import Callable

from shared.store.clients import Clients
from shared.store.connection import connect, database, ping, until_answered
from shared.store.dead_letter_state import DeadLetterState
from shared.store.idempotency import IdempotencyKeys
from shared.store.indexes import create_indexes
from shared.store.mailing_work import MailingWork
from shared.store.mailings import Mailings
from shared.store.message_statuses import MessageStatuses
from shared.store.messages import Messages
from shared.store.outcomes import Outcomes
from shared.store.provider_state import ProviderState
from shared.store.sequences import Sequences
from shared.store.statistics import Statistics


class Store:
    """MongoDB as Mailrun uses it. Every method may raise StoreUnavailable."""

    def __init__(self, url: str, database_name: str) -> None:
        """Nothing is connected yet: the first call connects."""
        self._client = connect(url)
        self._database = database(self._client, database_name)
        self.sequences = Sequences(self._database)
        self.clients = Clients(self._database, self.sequences)
        self.mailings = Mailings(self._database, self.sequences)
        self.mailing_work = MailingWork(self._database)
        self.messages = Messages(self._database)
        self.message_statuses = MessageStatuses(self._database)
        self.outcomes = Outcomes(self._database)
        self.statistics = Statistics(self._database)
        self.dead_letter_state = DeadLetterState(self._database)
        self.provider_state = ProviderState(self._database)
        self.idempotency_keys = IdempotencyKeys(self._database)

    async def prepare(self, report: Callable[[str], None]) -> None:
        """Create the indexes, waiting for the store as long as it takes.

        Args:
            report: told what is wrong while the store is away, and "up" afterwards.
        """
        await until_answered(lambda: create_indexes(self._database), report=report)

    async def ping(self) -> None:
        """
        Raises:
            StoreUnavailable: the store does not answer.
        """
        await ping(self._database)

    def close(self) -> None:
        self._client.close()
