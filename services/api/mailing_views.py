"""Mailings as the API takes and shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from services.api.client_views import MAX_TAGS_GIVEN, OperatorCode, Tag
from services.api.incoming import StrictBody
from services.api.instants import Instant
from shared.domain.audience import MAX_OPERATOR_CODES
from shared.domain.mailing import MAX_NAME_CHARACTERS, MAX_RATE_PER_S, Mailing, MailingStatus
from shared.domain.message import MessageStatus, OnUnknown
from shared.domain.text import MAX_TEXT_CHARACTERS
from shared.domain.window import LOCAL_TIME
from shared.store.statistics import MailingCounts

Name = Annotated[
    str, Field(description="for people", examples=["Spring"], json_schema_extra={"maxLength": MAX_NAME_CHARACTERS})
]
Text = Annotated[
    str,
    Field(
        description="`{name}` and `{name|fallback}` are filled in from attributes, `{{` and `}}` are braces",
        examples=["Hello {name|friend}, spring is here."],
        json_schema_extra={"minLength": 1, "maxLength": MAX_TEXT_CHARACTERS},
    ),
]
RatePerS = Annotated[
    float,
    Field(
        gt=0, le=MAX_RATE_PER_S, allow_inf_nan=False, description="most calls a second by all senders", examples=[50]
    ),
]
Policy = Annotated[
    OnUnknown,
    Field(strict=False, description="what to do when nobody can know whether a call was accepted"),
]
LOCAL_TIME_SCHEMA: dict[str, Any] = {"pattern": f"^{LOCAL_TIME.pattern}$"}
WindowStart = Annotated[
    str, Field(description="HH:MM, the first minute", examples=["09:00"], json_schema_extra=LOCAL_TIME_SCHEMA)
]
WindowEnd = Annotated[
    str, Field(description="HH:MM, the minute after the last", examples=["21:00"], json_schema_extra=LOCAL_TIME_SCHEMA)
]
StartAt = Annotated[
    Instant, Field(description="delivery begins; now unless given", examples=["2030-03-01T09:00:00.000Z"])
]
EndAt = Annotated[
    Instant,
    Field(
        description="nothing is sent at or after it; 24 hours after the start unless given",
        examples=["2030-03-01T18:00:00.000Z"],
    ),
]
OperatorCodes = Annotated[
    list[OperatorCode], Field(description="any of these", examples=[["900", "901"]], max_length=MAX_OPERATOR_CODES)
]
AudienceTags = Annotated[list[Tag], Field(description="any of these", examples=[["vip"]], max_length=MAX_TAGS_GIVEN)]
Everyone = Annotated[bool, Field(description="all clients; does not go with the other two", examples=[False])]
CountsView = Annotated[
    dict[str, int],
    Field(
        description="number of messages in each status; they add up to the audience",
        examples=[dict.fromkeys((status.value for status in MessageStatus), 0) | {"sent": 990, "failed": 10}],
    ),
]


class AudienceBody(StrictBody):
    """Who gets a message: whoever has any of the operator codes, if given, and any of the tags, if given."""

    operator_codes: OperatorCodes = Field([])
    tags: AudienceTags = Field([])
    everyone: Everyone = False


class LocalWindowBody(StrictBody):
    """The hours of the day, on the client's own clock, in which a message may be delivered. May pass midnight."""

    start: WindowStart
    end: WindowEnd


class MailingBody(StrictBody):
    """A mailing to be created."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Spring",
                    "text": "Hello {name|friend}, spring is here.",
                    "audience": {"operator_codes": ["900"], "tags": ["vip"]},
                    "start_at": "2030-03-01T09:00:00Z",
                    "end_at": "2030-03-01T18:00:00Z",
                    "local_window": {"start": "09:00", "end": "21:00"},
                }
            ]
        }
    )

    name: Name = ""
    text: Text
    audience: AudienceBody = AudienceBody()
    start_at: StartAt | None = None
    end_at: EndAt | None = None
    local_window: LocalWindowBody | None = None
    rate_per_s: RatePerS | None = None
    on_unknown: Policy | None = None
    draft: Annotated[bool, Field(description="keep it as a draft, to be launched later")] = False


class AudiencePatch(StrictBody):
    """A merge patch of an audience."""

    operator_codes: OperatorCodes | None = None
    tags: AudienceTags | None = None
    everyone: Everyone | None = None


class LocalWindowPatch(StrictBody):
    """A merge patch of a local window."""

    start: WindowStart | None = None
    end: WindowEnd | None = None


class MailingPatch(StrictBody):
    """A merge patch of a mailing: null sets a field back to its default."""

    name: Name | None = None
    text: Text | None = None
    audience: AudiencePatch | None = None
    start_at: StartAt | None = None
    end_at: EndAt | None = None
    local_window: LocalWindowPatch | None = None
    rate_per_s: RatePerS | None = None
    on_unknown: Policy | None = None


class AudienceView(BaseModel):
    """Who gets a message."""

    operator_codes: OperatorCodes
    tags: AudienceTags
    everyone: Everyone


class LocalWindowView(BaseModel):
    """The hours of the day, on the client's own clock."""

    start: WindowStart
    end: WindowEnd


class MailingView(BaseModel):
    """A mailing."""

    id: int
    name: Name
    text: Text
    audience: AudienceView
    start_at: Instant | None
    end_at: Instant | None
    local_window: LocalWindowView | None
    rate_per_s: float | None
    on_unknown: OnUnknown
    status: MailingStatus
    pause_reason: str | None = Field(
        description="why it paused itself; null when an operator paused it",
        examples=["too_many_failures: 150 of the last 200 outcomes"],
    )
    counts: CountsView
    audience_size: int = Field(description="number of messages planned so far")
    revision: int = Field(description="1, and one more with each edit")
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, mailing: Mailing, counted: MailingCounts) -> "MailingView":
        fields: dict[str, Any] = {name: getattr(mailing, name, None) for name in cls.model_fields}
        audience, window = mailing.audience, mailing.local_window
        return cls(
            **fields
            | {
                "audience": AudienceView(
                    operator_codes=list(audience.operator_codes), tags=list(audience.tags), everyone=audience.everyone
                ),
                "local_window": window and LocalWindowView(start=f"{window.start:%H:%M}", end=f"{window.end:%H:%M}"),
                "counts": counted.counts,
                "audience_size": counted.audience_size,
            }
        )
