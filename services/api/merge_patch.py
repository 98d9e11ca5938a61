"""JSON merge patch (RFC 7396)."""

from collections.abc import Mapping
from typing import Any


def merged(target: Mapping[str, Any] | None, patch: Mapping[str, Any]) -> dict[str, Any]:
    """The object that a patch makes of another: null removes a member, objects are merged, all else replaces."""
    result = dict(target or {})
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, Mapping) else None, value)
        else:
            result[name] = value
    return result
