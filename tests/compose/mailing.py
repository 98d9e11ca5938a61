"""One mailing through the stack: its clients, its launch, its end, and its agreement with the ledger."""

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.compose.running import RunningStack, eventually

PAGE_ITEMS = 500
FINAL = ("completed", "cancelled")


@dataclass(frozen=True)
class Mailing:
    """A launched mailing.

    Attributes:
        phones: of its audience.
        text: unlike that of any other mailing.
    """

    stack: RunningStack
    id: str
    phones: frozenset[str]
    text: str

    @classmethod
    def launch(cls, stack: RunningStack, *, clients: int) -> "Mailing":
        """Create so many clients with a tag of their own, and a mailing to them that starts at once."""
        tag = f"compose-{secrets.token_hex(4)}"
        first = 79_000_000_000 + secrets.randbelow(900_000) * 1_000
        phones = frozenset(str(first + number) for number in range(clients))
        for phone in sorted(phones):
            stack.api.post("/clients", json={"phone": phone, "tags": [tag]}).raise_for_status()
        text = f"A message of {tag}"
        body = {"name": tag, "text": text, "audience": {"tags": [tag]}}
        answer = stack.api.post("/mailings", json=body).raise_for_status()
        return cls(stack, answer.json()["id"], phones, text)

    def read(self) -> dict[str, Any]:
        """The mailing as the API shows it."""
        document: dict[str, Any] = self.stack.api.get(f"/mailings/{self.id}").raise_for_status().json()
        return document

    def wait_until_completed(self, *, limit_s: float) -> dict[str, Any]:
        """Wait for the end; the mailing then."""
        return eventually(
            self.read, lambda mailing: mailing["status"] in FINAL, what="the mailing completed", limit_s=limit_s
        )

    def accepted(self) -> Counter[int]:
        """How many calls of each message the provider has accepted, by the ledger alone."""
        return Counter(
            call["message_id"] for call in self.stack.ledger() if call["text"] == self.text and call["accepted"]
        )

    def wait_until_accepted(self, count: int, *, limit_s: float = 60) -> None:
        """Wait until the provider has accepted so many messages."""
        eventually(lambda: len(self.accepted()), lambda seen: seen >= count, what="calls accepted", limit_s=limit_s)

    def shares(self) -> dict[str, int]:
        """How many attempts each sender has made, by its own log."""
        return {
            sender.name: sum(
                line.get("event") == "message.attempted" and line["mailing_id"] == self.id
                for line in self.stack.log_of(sender)
            )
            for sender in self.stack.containers("sender")
        }

    def messages(self) -> list[dict[str, Any]]:
        """All messages, over all pages."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = {"limit": PAGE_ITEMS} | ({"cursor": cursor} if cursor else {})
            answer = self.stack.api.get(f"/mailings/{self.id}/messages", params=page).raise_for_status().json()
            found += answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return found

    def assert_agrees_with_ledger(self) -> list[dict[str, Any]]:
        """Everybody has the message; whoever has it twice is marked; every count says the same. The messages."""
        messages, accepted = self.messages(), self.accepted()
        assert {message["phone"] for message in messages} == self.phones
        assert len(messages) == len(self.phones)
        assert {message["status"] for message in messages} == {"sent"}
        assert set(accepted) == {message["id"] for message in messages}
        ambiguous = {message["id"] for message in messages if message["ambiguous"]}
        doubled = {message_id for message_id, calls in accepted.items() if calls > 1}
        assert doubled <= ambiguous, "sent twice and not marked"
        statistics = self.stack.api.get(f"/statistics/{self.id}").raise_for_status().json()
        assert statistics["audience_size"] == len(self.phones) == sum(statistics["counts"].values())
        assert statistics["counts"]["sent"] == len(self.phones)
        assert statistics["ambiguous"] == len(ambiguous)
        return messages
