"""Sample clients: of several operators, timezones and habits, and of this one trial alone."""

import random
from dataclasses import dataclass, field

OPERATOR_CODES = ("900", "903", "916", "921", "926", "950", "977", "999")
TIMEZONES = ("Europe/Kaliningrad", "Europe/Moscow", "Asia/Yekaterinburg", "Asia/Novosibirsk", "Asia/Vladivostok")
HABITS = ("morning", "evening", "weekend")
NAMES = ("Anna", "Boris", "Clara", "Dmitri", "Elena", "Fyodor", "Galina", "Ivan", "Ольга", "Пётр")
CITIES = ("Kazan", "Perm", "Tver", None)


@dataclass(slots=True)
class SampleClient:
    """A client as the trial makes it up.

    Attributes:
        phone: 11 digits, begins with 7.
        attributes: what the text may use.
        client_id: given by the API.
    """

    phone: str
    tags: tuple[str, ...]
    timezone: str
    attributes: dict[str, str]
    client_id: int | None = field(default=None)

    @property
    def operator_code(self) -> str:
        """Digits 2 to 4 of the phone."""
        return self.phone[1:4]

    def as_body(self) -> dict[str, object]:
        """For `POST /clients`."""
        return {
            "phone": self.phone,
            "tags": list(self.tags),
            "timezone": self.timezone,
            "attributes": self.attributes,
        }

    def take_other_phone(self) -> None:
        """Another number of the same operator, because somebody has this one."""
        self.phone = _phone(self.operator_code)


def make_clients(count: int, tag: str) -> list[SampleClient]:
    """So many different clients who all have the tag."""
    phones: dict[str, None] = {}
    while len(phones) < count:
        phones[_phone(OPERATOR_CODES[len(phones) % len(OPERATOR_CODES)])] = None
    clients = []
    for number, phone in enumerate(phones):
        attributes = {"name": NAMES[number % len(NAMES)]}
        if city := CITIES[number % len(CITIES)]:
            attributes["city"] = city
        tags = (tag, HABITS[number % len(HABITS)])
        clients.append(SampleClient(phone, tags, TIMEZONES[number % len(TIMEZONES)], attributes))
    return clients


def text_template(tag: str) -> str:
    """The mailing's text, with an attribute, a fallback and braces."""
    return "Hello {name}, here is the news of {city|your town}. {{" + tag + "}}"


def expected_text(client: SampleClient, tag: str) -> str:
    """What the provider must get for a client."""
    city = client.attributes.get("city", "your town")
    return f"Hello {client.attributes['name']}, here is the news of {city}. {{{tag}}}"


def _phone(operator_code: str) -> str:
    return f"7{operator_code}{random.randrange(10**7):07}"
