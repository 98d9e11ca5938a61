"""Choices: what the environment may say about the local run, on top of what the services themselves read."""

from typing import Annotated

from pydantic import Field, HttpUrl, MongoDsn
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.broker_url import BrokerUrl
from shared.runtime.settings import Settings

Port = Annotated[int, Field(ge=1, le=65_535)]
Replicas = Annotated[int, Field(ge=1, le=16)]


class Choices(BaseSettings):
    """The environment, checked. Names are the fields' in capitals; an empty value counts as not given."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    amqp_url: BrokerUrl | None = Field(None, description="a broker that is there; else a private node is started")
    mongo_url: MongoDsn | None = Field(None, description="a store that is there; else an embedded one is started")
    provider_url: HttpUrl | None = Field(None, description="the provider, up to /v1; else a fake one is started")

    senders: Replicas = Field(1, description="sender processes")
    schedulers: Replicas = Field(1, description="scheduler processes")

    rabbitmq_port: Port = Field(5_673, description="AMQP port of the private node; 5672 is left to the system's own")
    rabbitmq_management_port: Port = Field(15_672, description="port of its management console")
    store_port: Port = Field(27_018, description="port of the embedded store; 27017 is left to a MongoDB")
    fake_provider_port: Port = Field(9_000, description="port of the fake provider")


class BadChoice(Exception):
    """The environment says something that cannot be; the message names the variable."""


def read_environment() -> tuple[Choices, Settings]:
    """What the environment says to us and to the services, so that a mistake is told before anything is started.

    Raises:
        BadChoice: a variable's value is wrong.
    """
    try:
        return Choices(), Settings()
    except ValueError as error:
        raise BadChoice(_in_one_line(error)) from error


def _in_one_line(error: ValueError) -> str:
    problems = error.errors() if hasattr(error, "errors") else []
    if not problems:
        return str(error)
    return "; ".join(f"{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg']}" for problem in problems)
