"""Every error that Mailrun raises on purpose.

MailrunError
├── InvalidInput            a value breaks a rule of the domain; carries the field and a sentence for a person
├── NotFound                there is no such client, mailing or message
├── Conflict                the state of the resource forbids the act; carries a stable code
├── StoreUnavailable        MongoDB cannot be reached or has no primary; the same call may succeed later
└── BrokerUnavailable       RabbitMQ cannot be reached, or did not confirm in time; the same call may succeed later

Errors of libraries are translated at the edge (`shared.store`, `shared.broker`) and kept as the cause.
"""


class MailrunError(Exception):
    """The root of the tree."""


class InvalidInput(MailrunError):
    """A value breaks a rule of the domain.

    Attributes:
        field: name of the offending field, with "/" between levels ("local_window/start").
        message: what is wrong, for a person.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class NotFound(MailrunError):
    """There is no such resource.

    Attributes:
        resource: "client", "mailing" or "message".
        resource_id: the id that was asked for.
    """

    def __init__(self, resource: str, resource_id: int) -> None:
        super().__init__(f"no {resource} {resource_id}")
        self.resource = resource
        self.resource_id = resource_id


class Conflict(MailrunError):
    """The state of the resource forbids the act.

    Attributes:
        code: stable and machine-readable, such as "mailing_already_running".
        message: what stands in the way, for a person.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StoreUnavailable(MailrunError):
    """MongoDB cannot be reached or has no primary."""


class BrokerUnavailable(MailrunError):
    """RabbitMQ cannot be reached, or did not confirm in time."""
