"""Secrets by their pattern, replaced by a marker before anything leaves the host (ARCHITECTURE.md, D5): in attributes,
values, records and sources; `patterns` knows them in a text. What the recorder redacted by name never came here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from aftertrace._native import sensitive_name, suspicious
from aftertrace.agent.patterns import is_card, text
from aftertrace.errors import BadRecording
from aftertrace.model import Attributes, AttributeValue, Missing, Value, ValueKind
from aftertrace.wire import records
from aftertrace.wire.kinds import Record

__all__ = ["attribute", "attributes", "record", "source", "suspicious", "text", "value"]

_HIDDEN = Value(ValueKind.REDACTED, "", missing=Missing.REDACTED_NAME)


def attribute(value: AttributeValue) -> AttributeValue:
    """An attribute's value, keys of maps included."""
    if isinstance(value, str | bytes):
        return _clean_text(value, cut=False)
    if isinstance(value, list):
        return [attribute(item) for item in value]
    if isinstance(value, dict):
        return attributes(value)
    return "<redacted:card>" if _is_card(value) else value


def attributes(found: Attributes) -> Attributes:
    """By name, too: what a process says of itself did not go through the recorder."""
    return {text(key): _hidden(value) if sensitive_name(key) else attribute(value) for key, value in found.items()}


def _hidden(value: AttributeValue) -> AttributeValue:
    return "<redacted>" if isinstance(value, str | bytes) and value else attribute(value)


def _is_card(number: object) -> bool:
    return isinstance(number, int) and 10**12 <= number < 10**19 and is_card(str(number))


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
        attributes=tuple([(text(name), value(item)) for name, item in captured.attributes]),
    )


def _clean_text(before: str | bytes, *, cut: bool) -> str | bytes:
    if isinstance(before, str):
        return text(before, cut=cut)
    return text(before.decode("latin-1"), cut=cut).encode("latin-1")


def _scalar(captured: Value) -> Value:
    before = captured.scalar
    if not isinstance(before, str | bytes):
        return Value(ValueKind.REDACTED, "", missing=Missing.REDACTED_TYPE) if _is_card(before) else captured
    after = _clean_text(before, cut=captured.missing is Missing.SIZE)
    if after == before:
        return captured
    size = None if captured.size is None else captured.size - len(before) + len(after)
    return replace(captured, scalar=after, size=size)


# -- records

# Fields that hold a text of the program's.
_TEXTS = ("name", "description", "reason", "detail", "scope", "logger", "file", "function")


def record(data: bytes) -> bytes:
    """One whole record, as the ring holds it, with its secrets replaced; a GAP when it is then too large."""
    try:
        (found,) = records.decode(data, base_ticks=0)
        return records.encode(_clean(found), 0)
    except (BadRecording, ValueError):
        return b""  # what cannot be read cannot be judged: it does not leave
    except OverflowError:
        return records.encode(records.GapRecord(found.ticks, 0, 5, 1, "redaction"), 0)


_ARGUMENT = re.compile(r"([A-Za-z_][\w.-]{1,63})['\"]?\s{0,2}[=:]\s{0,2}['\"]?\Z")
_PLACE = re.compile(r"%(?:%|(?:\(\w+\))?[-+ #0]*(?:[0-9]+|\*)?(?:\.(?:[0-9]+|\*))?[a-zA-Z])")


def _log(found: records.Log) -> records.Log:
    """Arguments of a log call that its template names: ``log.info("password=%s", given)``."""
    template, arguments = found.message.scalar, found.arguments
    if not isinstance(template, str) or arguments.kind is not ValueKind.SEQUENCE:
        return found
    places = [place for place in _PLACE.finditer(template) if place.group() != "%%"]
    names = [_ARGUMENT.search(template, 0, place.start()) for place in places]
    hidden = {at for at, name in enumerate(names) if name is not None and sensitive_name(name.group(1))}
    items = tuple([_HIDDEN if at in hidden and _may_hide(item) else item for at, item in enumerate(arguments.items)])
    return replace(found, arguments=replace(arguments, items=items))


def _may_hide(item: Value) -> bool:
    return not (item.kind is ValueKind.SCALAR and item.scalar in {None, True, False, "", b""})


def _clean(found: Record) -> Record:
    if isinstance(found, records.Log):
        found = _log(found)
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


# -- sources


def source(data: bytes) -> bytes:
    """A source file's bytes with each secret starred out, so that every line and column stays where it was."""
    if not suspicious(data, 0, len(data)):
        return data
    return text(data.decode("latin-1"), _stars, code=True).encode("latin-1")


def _stars(_kind: str, secret: str) -> str:
    return "".join(char if char in "\r\n" else "*" for char in secret)
