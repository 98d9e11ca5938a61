"""At the broker: what somebody with the management console may do to it, and what then lies among the dead letters."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aio_pika
import httpx
import orjson
from aio_pika.exceptions import AMQPError

TIMEOUT_S = 20
READ_EVERY_S = 3.0  # reading the dead letters takes them out for a moment, and the schedulers count them, too
QUEUES = (
    "messages.send",
    "messages.dead",
    "scheduler.wakeups",
    *(f"messages.retry.{step}" for step in ("5s", "30s", "2m", "10m", "1h")),
)


@dataclass(frozen=True, slots=True)
class Broker:
    """A virtual host of a broker, and the management API, up to before "/api", user and password included."""

    amqp_url: str
    management_url: str

    @property
    def vhost(self) -> str:
        return quote(urlsplit(self.amqp_url).path[1:] or "/", safe="")

    async def delete_queue(self, queue: str) -> None:
        await self._ask("DELETE", f"queues/{self.vhost}/{queue}")

    async def purge_queue(self, queue: str) -> None:
        await self._ask("DELETE", f"queues/{self.vhost}/{queue}/contents")

    async def recreate_vhost(self) -> None:
        await self._ask("DELETE", f"vhosts/{self.vhost}")
        await self._ask("PUT", f"vhosts/{self.vhost}", {})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await self._ask("PUT", f"permissions/{self.vhost}/{urlsplit(self.amqp_url).username}", everything)

    async def missing_queues(self) -> set[str]:
        """Queues of the topology that are not there now."""
        return set(QUEUES) - {one["name"] for one in await self._ask("GET", f"queues/{self.vhost}")}

    async def letters(self) -> list[tuple[int, str]] | None:
        """Message id and reason of each dead letter; None when the queue is not there, or is not to be had, just now.

        They return to the queue, a moment later.
        """
        found: list[tuple[int, str]] = []
        try:
            async with await aio_pika.connect(self.amqp_url) as connection:
                queue = await (await connection.channel()).get_queue("messages.dead", ensure=False)
                while (entry := await queue.get(fail=False, timeout=TIMEOUT_S)) is not None:
                    found.append((orjson.loads(entry.body)["message_id"], str(entry.headers["x-mailrun-reason"])))
        except (AMQPError, OSError):
            return None
        return sorted(found)

    async def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as management:
            answer = await management.request(method, f"{self.management_url.rstrip('/')}/api/{path}", json=body)
        # A queue that the test deleted may not have been declared again yet.
        assert answer.status_code < 300 or answer.status_code == 404, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content and answer.status_code < 300 else None
