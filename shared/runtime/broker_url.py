"""The broker's URL: that of one RabbitMQ node, or of several of a cluster."""

from typing import Annotated

from pydantic import AfterValidator, AmqpDsn, BeforeValidator, TypeAdapter, ValidationError

from shared.addresses import one_address_each

SHAPE = "amqp://USER:PASSWORD@HOST:PORT,HOST:PORT/VHOST"

_one_node = TypeAdapter(AmqpDsn)


def _check(url: str) -> str:
    """The URL, when each of its addresses is one of AMQP.

    Raises:
        ValueError: it is not; the message says what is wrong, and shows no password.
    """
    addresses = one_address_each(url)
    for number, address in enumerate(addresses, start=1):
        which = f"host {number} of {len(addresses)}: " if len(addresses) > 1 else ""
        if problem := _problem_of(address, host_needed=len(addresses) > 1):
            raise ValueError(f"{which}{problem}; it should look like {SHAPE}")
    return url


def _problem_of(address: str, *, host_needed: bool) -> str | None:
    try:
        host = _one_node.validate_python(address).host
    except ValidationError as error:
        return error.errors(include_input=False, include_url=False)[0]["msg"]
    if host is None and host_needed:
        return "it is empty"
    credentials = address.rpartition("@")[0]
    if "@" in credentials and "," in credentials:
        return "user and password stand once, before the first host (in a password, @ is %40 and a comma %2C)"
    return None


BrokerUrl = Annotated[str, BeforeValidator(str), AfterValidator(_check)]
"""amqp:// or amqps://, with one host or, separated by commas, several, which share user, password and vhost."""
