"""Settings: everything that the environment may say, for every process, in one place.

Only a service's `__main__` reads them. `docs/configuration.md` lists the same names, and a test compares the two.
"""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, MongoDsn
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.runtime.broker_url import BrokerUrl

Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """The environment, checked. Names are the fields' in capitals; an empty value counts as not given."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True)

    amqp_url: BrokerUrl = Field(
        "amqp://guest:guest@127.0.0.1:5672/",
        description="the RabbitMQ broker; several hosts of a cluster are separated by commas",
    )
    mongo_url: MongoDsn = Field(
        MongoDsn("mongodb://127.0.0.1:27017/?directConnection=true"), description="the MongoDB store"
    )
    mongo_database: str = Field(
        "mailrun", min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_-]+$", description="name of the database"
    )

    api_host: str = Field("127.0.0.1", description="address that the API listens on")
    api_port: Port = Field(8_000, description="port of the API")
    api_max_body_bytes: int = Field(1_048_576, ge=1_024, description="largest request body, bytes")
    health_host: str = Field("127.0.0.1", description="address of the health pages of scheduler and sender")
    scheduler_health_port: Port = Field(0, description="port of the scheduler's health pages; 0: any free one")
    sender_health_port: Port = Field(0, description="port of the sender's health pages; 0: any free one")

    provider_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:9000/v1"), description="the provider, up to /v1")
    provider_token: str = Field("", description="the provider's bearer token")
    provider_concurrency: int = Field(
        64,
        ge=1,
        le=1_024,
        description="calls under way at once at most, per sender; fewer while the provider is overloaded",
    )
    provider_rate_per_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="calls per second, of all senders together; empty: no limit"
    )
    provider_timeout_s: float = Field(10.0, gt=0, le=10, description="longest call to the provider, seconds")
    provider_deduplicates: bool = Field(
        True, description="whether the provider drops a second call with the same message id: decides `on_unknown`"
    )
    provider_refusal_statuses: str = Field(
        "429,500,503",
        pattern=r"^\s*[0-9]{3}(\s*,\s*[0-9]{3})*\s*$",
        description="HTTP statuses by which the provider says for certain that it has not accepted, for now",
    )

    mailing_pause_failure_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="a mailing pauses itself when more than this part of its last outcomes are permanent failures; "
        "1: never",
    )

    sender_max_attempts: int = Field(6, ge=1, le=100, description="attempts before a message is given up")
    sender_batch_size: int = Field(400, ge=1, le=1_000, description="messages claimed or recorded in one update")
    sender_batch_wait_ms: float = Field(20.0, ge=0, le=1_000, description="longest wait for a batch to fill, ms")
    sender_stop_s: float = Field(15.0, gt=0, le=600, description="longest wait for calls under way at a stop, seconds")

    scheduler_chunk_clients: int = Field(1_000, ge=1, le=10_000, description="clients planned at a time")
    scheduler_tick_s: float = Field(1.0, gt=0, le=60, description="longest sleep of the scheduler, seconds")
    scheduler_mend_after_s: float = Field(
        60.0, ge=1, description="silence after which a message's command is taken for lost, seconds"
    )
    scheduler_dead_letters_after_s: float = Field(
        30.0,
        ge=0,
        description="how long queue and store may differ, or be in doubt, before the dead letters are walked, seconds",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    log_format: Literal["json", "console"] = Field("json", description="how log lines are written")

    @property
    def refusal_statuses(self) -> frozenset[int]:
        """`provider_refusal_statuses` as numbers."""
        return frozenset(int(status) for status in self.provider_refusal_statuses.split(","))
