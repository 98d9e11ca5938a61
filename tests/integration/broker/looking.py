"""Looking into a broker past Mailrun: what is declared, by the management API; what lies in a queue, by aio-pika."""

from typing import Any
from urllib.parse import quote

import aio_pika
import httpx
from aio_pika.abc import AbstractIncomingMessage

TIMEOUT_S = 10
NO_MORE_WITHIN_S = 0.5


async def declared(management_url: str, vhost: str, kind: str) -> list[dict[str, Any]]:
    """The exchanges, queues or bindings of a virtual host."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as management:
        answer = await management.get(f"{management_url}/api/{kind}/{quote(vhost, safe='')}")
        return list(answer.raise_for_status().json())


async def recreate(management_url: str, vhost: str, user: str) -> None:
    """Delete a virtual host with all that is in it, and make it anew."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, base_url=f"{management_url}/api") as management:
        (await management.delete(f"/vhosts/{vhost}")).raise_for_status()
        (await management.put(f"/vhosts/{vhost}", json={})).raise_for_status()
        (await management.put(f"/permissions/{vhost}/{user}", json=everything)).raise_for_status()


async def delete(amqp_url: str, *, queue: str | None = None, exchange: str | None = None) -> None:
    """Delete a queue or an exchange, as somebody at the console might."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        if queue is not None:
            await channel.queue_delete(queue)
        if exchange is not None:
            await channel.exchange_delete(exchange)


async def depth(amqp_url: str, queue: str) -> int:
    """How many messages are ready in a queue; -1 when there is no such queue."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        try:
            found = await channel.declare_queue(queue, passive=True)
        except aio_pika.exceptions.ChannelNotFoundEntity:
            return -1
        return found.declaration_result.message_count or 0


async def empty(amqp_url: str, queue: str) -> list[AbstractIncomingMessage]:
    """Take everything out of a queue."""
    taken = []
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        found = await channel.get_queue(queue)
        while (message := await found.get(fail=False, timeout=TIMEOUT_S)) is not None:
            await message.ack()
            taken.append(message)
    return taken
