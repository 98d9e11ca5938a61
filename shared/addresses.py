"""Addresses: one URL that names several servers, and what it means for each of them."""

AFTER_AUTHORITY = "/?#"


def one_address_each(url: str) -> tuple[str, ...]:
    """The addresses of the single servers that a URL names, in its order.

    `amqp://user:password@a:5672,b:5672/vhost` names two: each keeps the scheme, user, password, path and query of the
    whole. A URL of a single server is returned as it is. A comma in user or password is left alone.
    """
    scheme, separator, rest = url.partition("://")
    end = min((at for at in map(rest.find, AFTER_AUTHORITY) if at >= 0), default=len(rest))
    credentials, at, hosts = rest[:end].rpartition("@")
    return tuple(f"{scheme}{separator}{credentials}{at}{host.strip()}{rest[end:]}" for host in hosts.split(","))
