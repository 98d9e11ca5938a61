"""Audience: which clients a mailing is for."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.domain.client import Client, check_operator_code, check_tags
from shared.errors import InvalidInput

MAX_OPERATOR_CODES = 1_000  # there are no more of three digits


@dataclass(frozen=True, slots=True)
class Audience:
    """A filter over clients.

    A client belongs when its operator code is any of `operator_codes` (if there are any) and it has any of `tags`
    (if there are any). Without either, everybody belongs if `everyone` says so, else nobody.
    """

    operator_codes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everyone: bool = False

    def includes(self, client: Client) -> bool:
        """Whether this client would get a message. Clients who opted out never do."""
        if client.opted_out_at is not None:
            return False
        if not self.operator_codes and not self.tags:
            return self.everyone
        if self.operator_codes and client.operator_code not in self.operator_codes:
            return False
        return not self.tags or any(tag in self.tags for tag in client.tags)


def check_audience(operator_codes: Iterable[str], tags: Iterable[str], *, everyone: bool) -> Audience:
    """The audience, if it says whom it means.

    Raises:
        InvalidInput: neither a filter nor `everyone` (field "audience"), both ("audience/everyone"), or a malformed
            code or tag (the field names its place in what was given).
    """
    given = tuple(operator_codes)
    if len(given) > MAX_OPERATOR_CODES:
        raise InvalidInput("audience/operator_codes", f"at most {MAX_OPERATOR_CODES} operator codes")
    for place, code in enumerate(given):
        check_operator_code(code, f"audience/operator_codes/{place}")
    codes = tuple(dict.fromkeys(given))
    audience = Audience(codes, check_tags(tags, "audience/tags"), everyone)
    filtered = bool(audience.operator_codes or audience.tags)
    if not filtered and not everyone:
        raise InvalidInput("audience", 'name operator_codes or tags, or say "everyone": true')
    if filtered and everyone:
        raise InvalidInput("audience/everyone", '"everyone": true does not go with operator_codes or tags')
    return audience
