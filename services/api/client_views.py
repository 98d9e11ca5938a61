"""Clients as the API takes and shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from services.api.incoming import StrictBody, check_few
from services.api.instants import Instant
from shared.domain.client import (
    ATTRIBUTE_NAME,
    DEFAULT_TIMEZONE,
    MAX_ATTRIBUTE_CHARACTERS,
    MAX_ATTRIBUTES,
    MAX_TAG_CHARACTERS,
    MAX_TAGS,
    OPERATOR_CODE,
    PHONE,
    Client,
    check_attributes,
    check_operator_code,
    check_phone,
    check_tags,
    check_timezone,
    operator_code_of,
)

MAX_TAGS_GIVEN = 1_000  # the same one repeated included

# The patterns are for readers: the domain checks, and says what is wrong in words.
Phone = Annotated[
    str,
    Field(
        description="11 digits, the first a 7; unique",
        examples=["79001234567"],
        json_schema_extra={"pattern": f"^{PHONE.pattern}$"},
    ),
]
OperatorCode = Annotated[
    str,
    Field(
        description="three digits; those after the 7 of the phone unless given",
        examples=["900"],
        json_schema_extra={"pattern": f"^{OPERATOR_CODE.pattern}$"},
    ),
]
Tag = Annotated[str, Field(json_schema_extra={"minLength": 1, "maxLength": MAX_TAG_CHARACTERS})]
Tags = Annotated[
    list[Tag],
    Field(description=f"at most {MAX_TAGS} different ones", examples=[["vip", "moscow"]], max_length=MAX_TAGS_GIVEN),
]
Timezone = Annotated[
    str, Field(description=f"a name of the IANA database; {DEFAULT_TIMEZONE} unless given", examples=["Asia/Omsk"])
]
ATTRIBUTES_SCHEMA: dict[str, Any] = {
    "propertyNames": {"pattern": f"^{ATTRIBUTE_NAME.pattern}$"},
    "maxProperties": MAX_ATTRIBUTES,
}
Attributes = Annotated[
    dict[str, str],
    BeforeValidator(check_few),
    Field(
        description=f"what texts can be filled in with; each at most {MAX_ATTRIBUTE_CHARACTERS} characters",
        examples=[{"name": "Anna"}],
        json_schema_extra=ATTRIBUTES_SCHEMA,
    ),
]


class ClientBody(StrictBody):
    """A client to be created."""

    phone: Phone
    operator_code: OperatorCode | None = None
    tags: Tags | None = None
    timezone: Timezone | None = None
    attributes: Attributes | None = None

    def to_client(self) -> Client:
        """The client, still without an id.

        Raises:
            InvalidInput: a field breaks a rule.
        """
        phone = check_phone(self.phone)
        return Client(
            id=0,
            phone=phone,
            operator_code=operator_code_of(phone)
            if self.operator_code is None
            else check_operator_code(self.operator_code),
            tags=check_tags(self.tags or ()),
            timezone=check_timezone(DEFAULT_TIMEZONE if self.timezone is None else self.timezone),
            attributes=check_attributes(self.attributes or {}),
        )


class ClientPatch(StrictBody):
    """A merge patch of a client: null sets a field back to its default."""

    phone: Phone | None = None
    operator_code: OperatorCode | None = None
    tags: Tags | None = None
    timezone: Timezone | None = None
    attributes: (
        Annotated[
            dict[str, str | None],
            BeforeValidator(check_few),
            Field(
                description="null removes an attribute",
                examples=[{"name": "Anna"}],
                json_schema_extra=ATTRIBUTES_SCHEMA,
            ),
        ]
        | None
    ) = None
    opted_out_at: Annotated[Instant, Field(description="set to opt the client out, null to opt in again")] | None = None


class ClientView(BaseModel):
    """A client."""

    id: int
    phone: Phone
    operator_code: OperatorCode
    tags: Tags
    timezone: Timezone
    attributes: Attributes
    opted_out_at: Instant | None
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, client: Client) -> "ClientView":
        fields: dict[str, Any] = {name: getattr(client, name) for name in cls.model_fields}
        return cls(**fields | {"tags": list(client.tags), "attributes": dict(client.attributes)})
