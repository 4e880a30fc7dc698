"""Values that are others in every request: ids, times, addresses. That such a one is new says nothing."""

from __future__ import annotations

import re

from aftertrace.model import Value, ValueKind
from aftertrace.wire.equality import content

_LARGE = 10**9  # of whole numbers: seconds since 1970, ids
_LONGEST = 200
_MOST_ITEMS = 16
_HOST = re.compile(r"\d+\.\d+\.\d+\.\d+|[0-9a-f:]*:[0-9a-f:]*", re.IGNORECASE)
_ID = re.compile(
    r"""[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}  # a UUID
    | (?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}                 # hex digits
    | \d{4}-\d\d-\d\d[T ]\d\d:\d\d                                     # a time
    | 0x[0-9a-f]{6,}                                                   # an address
    | (?=\S*\d)(?=\S*[a-z])[\w-]{20,}                                  # a token
    """,
    re.VERBOSE | re.IGNORECASE,
)


def incidental(value: Value) -> bool:
    """Whether a value looks like an id or a moment, or has one in its text."""
    value = content(value)
    if value.kind is ValueKind.TEMPORAL:
        return value.type != "timedelta"
    if value.kind is ValueKind.SEQUENCE:
        return _address(value) or any(map(incidental, value.items[:_MOST_ITEMS]))
    scalar = value.scalar
    if isinstance(scalar, bool):
        return False
    if isinstance(scalar, int | float):
        return abs(scalar) >= _LARGE
    return isinstance(scalar, str) and len(scalar) <= _LONGEST and _ID.search(scalar) is not None


def _address(value: Value) -> bool:
    """(host, port) of a connection."""
    shown = [one.scalar for one in value.items[:2]]
    if len(value.items) < 2 or not isinstance(shown[0], str) or not isinstance(shown[1], int):
        return False
    return _HOST.fullmatch(shown[0][:_LONGEST]) is not None
