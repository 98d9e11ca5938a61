"""Isolation: a database and a virtual host that no other test sees, dropped afterwards."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import httpx
import pymongo

TIMEOUT_S = 10


class ManagementMissing(Exception):
    """The broker's management API does not answer as it should; the message says where and what to do."""


@contextmanager
def fresh_database(mongo_url: str) -> Iterator[str]:
    """The name of a database that does not exist yet; dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    try:
        yield name
    finally:
        with pymongo.MongoClient(mongo_url, serverSelectionTimeoutMS=TIMEOUT_S * 1_000) as client:
            client.drop_database(name)


@contextmanager
def fresh_vhost(amqp_url: str, management_url: str) -> Iterator[str]:
    """The address of a new virtual host of the broker; deleted afterwards, with all that is in it.

    Args:
        amqp_url: of the broker, any virtual host.
        management_url: up to before "/api", user and password included.

    Raises:
        ManagementMissing: no virtual host can be made.
    """
    name = f"test-{secrets.token_hex(6)}"
    user = urlsplit(amqp_url).username or "guest"
    with httpx.Client(base_url=f"{management_url.rstrip('/')}/api", timeout=TIMEOUT_S, trust_env=False) as management:
        _expect_success(management, "PUT", f"/vhosts/{name}", {})
        try:
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            _expect_success(management, "PUT", f"/permissions/{name}/{user}", everything)
            yield urlunsplit(urlsplit(amqp_url)._replace(path=f"/{name}"))
        finally:
            _expect_success(management, "DELETE", f"/vhosts/{name}", None)


def _expect_success(management: httpx.Client, method: str, path: str, body: dict[str, str] | None) -> None:
    try:
        management.request(method, path, json=body).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        shown = management.base_url.copy_with(userinfo=b"")
        raise ManagementMissing(
            f"{method} {path} at the broker's management API {shown} failed: {error}. Tests need it to make a virtual "
            "host each: switch the broker's rabbitmq_management plugin on, and name its address with MANAGEMENT_URL"
        ) from error
