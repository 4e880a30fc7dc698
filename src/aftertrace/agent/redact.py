"""Secrets by their pattern, replaced by a marker before anything leaves the host (ARCHITECTURE.md, D5).

``<redacted:card>``, ``bearer``, ``jwt``, ``private-key``, ``credentials`` (of a URL), ``email``. The same secret gives
the same marker everywhere. What the recorder redacted by name never came here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from aftertrace.errors import BadRecording
from aftertrace.model import Attributes, AttributeValue, Value, ValueKind
from aftertrace.wire import records
from aftertrace.wire.kinds import Record

_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ -]?[0-9]){12,}")
_GROUP = re.compile(r"[0-9]+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_BEARER = re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_CREDENTIALS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#@'\"<>]{0,256}:[^\s/?#'\"<>]{1,256}@")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9-])")

# Looser than all of the above, and without looking around: where it finds nothing in a record's bytes, no text in it
# holds a secret. A text stands in a record as its UTF-8; what the patterns need of it is ASCII.
_SUSPICIOUS = re.compile(rb"[0-9](?:[ -]?[0-9]){12}|-----BEGIN|(?i:bearer)|eyJ|@")


def suspicious(data: bytes, start: int, end: int) -> bool:
    """Whether something in these bytes may be a secret."""
    return _SUSPICIOUS.search(data, start, end) is not None


def text(string: str) -> str:
    """The text with its secrets replaced."""
    if "-----BEGIN" in string:
        string = _PRIVATE_KEY.sub("<redacted:private-key>", string)
    if "://" in string and "@" in string:
        string = _CREDENTIALS.sub(r"\1<redacted:credentials>@", string)
    string = _BEARER.sub(r"\1<redacted:bearer>", string)
    if "eyJ" in string:
        string = _JWT.sub("<redacted:jwt>", string)
    if "@" in string:
        string = _EMAIL.sub("<redacted:email>", string)
    return _DIGITS.sub(_cards, string)


def _cards(match: re.Match[str]) -> str:
    """A run of digits in groups: each stretch of whole groups that is a card's number is replaced."""
    run = match.group()
    groups = [(found.start(), found.end()) for found in _GROUP.finditer(run)]
    out, done, first = "", 0, 0
    while first < len(groups):
        start = groups[first][0]
        end = next((end for _, end in groups[first:] if _is_card(run[start:end])), 0)
        if end:
            out, done = f"{out}{run[done:start]}<redacted:card>", end
        first += 1
        while first < len(groups) and groups[first][0] < end:
            first += 1
    return out + run[done:]


def _is_card(run: str) -> bool:
    """13 to 19 digits, the first of them one that cards begin with, and Luhn's sum."""
    if len(run) > 38 or run[0] not in "23456":
        return False
    digits = [int(char) for char in run if char.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    return (
        sum(digit * 2 - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))) % 10
        == 0
    )


def attribute(value: AttributeValue) -> AttributeValue:
    """An attribute's value, keys of maps included."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return text(value.decode("latin-1")).encode("latin-1")
    if isinstance(value, list):
        return [attribute(item) for item in value]
    if isinstance(value, dict):
        return attributes(value)
    return value


def attributes(found: Attributes) -> Attributes:
    return {text(key): attribute(value) for key, value in found.items()}


def value(captured: Value) -> Value:
    """A captured value and all in it. A text that was cut stays one: as much of it is missing as before."""
    if captured.kind in {ValueKind.SCALAR, ValueKind.TEMPORAL}:
        return _scalar(captured)
    if not (captured.items or captured.entries or captured.attributes):
        return captured
    return replace(
        captured,
        items=tuple([value(item) for item in captured.items]),
        entries=tuple([(value(key), value(item)) for key, item in captured.entries]),
        attributes=tuple([(name, value(item)) for name, item in captured.attributes]),
    )


def _scalar(captured: Value) -> Value:
    before = captured.scalar
    if not isinstance(before, str | bytes):
        return captured
    after = attribute(before)
    if after == before or not isinstance(after, str | bytes):
        return captured
    size = None if captured.size is None else captured.size - len(before) + len(after)
    return replace(captured, scalar=after, size=size)


# -- records

_TEXTS = ("name", "description", "reason", "detail")  # fields of records that hold a program's text


def record(data: bytes) -> bytes:
    """One whole record, as the ring holds it, with its secrets replaced; a GAP when it is then too large."""
    try:
        (found,) = records.decode(data, base_ticks=0)
        return records.encode(_clean(found), 0)
    except (BadRecording, ValueError):
        return b""  # what cannot be read cannot be judged: it does not leave
    except OverflowError:
        return records.encode(records.GapRecord(found.ticks, 0, 5, 1, "redaction"), 0)


def _clean(found: Record) -> Record:
    changed: dict[str, object] = {}
    for field in found.__dataclass_fields__:
        before = getattr(found, field)
        clean: Callable[..., object] | None = _CLEAN.get(field)
        if clean is not None and before:
            changed[field] = clean(before)
        elif isinstance(before, Value):
            changed[field] = value(before)
    return replace(found, **changed)  # type: ignore[arg-type]  # each field keeps its type


def _pairs(found: tuple[tuple[int | str, Value], ...]) -> tuple[tuple[int | str, Value], ...]:
    return tuple([(key, value(item)) for key, item in found])


def _links(found: tuple[tuple[str, str, records.Attrs], ...]) -> tuple[tuple[str, str, object], ...]:
    return tuple([(trace, span, _pairs(attrs)) for trace, span, attrs in found])


def _reason(found: int | str) -> int | str:
    return text(found) if isinstance(found, str) else found


_CLEAN: dict[str, Callable[..., object]] = {
    "slots": _pairs,
    "attributes": _pairs,
    "links": _links,
    **dict.fromkeys(_TEXTS, _reason),
}
