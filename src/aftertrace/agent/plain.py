"""Captured values as OTLP attribute values, and a program's log message as it would have read."""

from __future__ import annotations

from aftertrace.model import Attributes, AttributeValue, Value, ValueKind
from aftertrace.wire.kinds import Attrs

_REDACTED = "<redacted>"


def attributes(found: Attrs) -> Attributes:
    return {name: attribute(value) for name, value in found}


def attribute(value: Value) -> AttributeValue:
    """A list for a sequence, a map for a dict; what OTLP has no word for as text."""
    match value.kind:
        case ValueKind.SCALAR:
            return _scalar(value)
        case ValueKind.SEQUENCE:
            return [attribute(item) for item in value.items]
        case ValueKind.MAPPING:
            return {str(attribute(key)): attribute(item) for key, item in value.entries}
        case ValueKind.SUBCLASS if value.items:
            return attribute(value.items[0])
        case _:
            return text(value)


def _scalar(value: Value) -> AttributeValue:
    scalar = value.scalar
    if isinstance(scalar, complex):
        return str(scalar)
    if scalar is None and value.type != "NoneType":
        return f"<{value.type}>"
    return scalar


def text(value: Value) -> str:
    """As a log message shows it; of an object only its type, because its ``__str__`` was not run."""
    match value.kind:
        case ValueKind.SCALAR if isinstance(value.scalar, int) and value.scalar.bit_length() > 1024:
            return hex(value.scalar)
        case ValueKind.SCALAR if value.scalar is not None or value.type == "NoneType":
            return str(value.scalar)
        case ValueKind.EXCEPTION:
            return ", ".join(text(item) for item in value.items) or value.type
        case ValueKind.NAMED | ValueKind.TEMPORAL:
            return str(value.scalar)
        case ValueKind.SEQUENCE | ValueKind.MAPPING:
            return str(attribute(value))
        case ValueKind.SUBCLASS if value.items:
            return text(value.items[0])
        case ValueKind.RANGE:
            return f"range({', '.join(text(item) for item in value.items)})"
        case ValueKind.REDACTED:
            return _REDACTED
        case _:
            return f"<{value.type}>"


def message(template: Value, arguments: Value) -> str:
    """``template % arguments``, as `logging` does it, with what was captured; the template alone where it won't fit."""
    form = text(template)
    if arguments.kind is ValueKind.SEQUENCE and arguments.items:
        values: object = tuple([_argument(item) for item in arguments.items])
    elif arguments.kind is ValueKind.MAPPING:
        values = {text(key): _argument(item) for key, item in arguments.entries}
    else:
        return form
    if len(form) > 4096 or _widest(form) > 1000:
        return form
    try:
        return form % values
    except (TypeError, ValueError, KeyError, OverflowError, MemoryError):
        return form


def _argument(value: Value) -> object:
    number = value.kind is ValueKind.SCALAR and isinstance(value.scalar, int | float)
    return value.scalar if number and not _huge(value) else text(value)


def _huge(value: Value) -> bool:
    return isinstance(value.scalar, int) and value.scalar.bit_length() > 1024


def _widest(form: str) -> int:
    """The largest number in a template: a width, which a hostile one would make a gigabyte."""
    digits = "".join(char if char.isdigit() else " " for char in form).split()
    return max((int(run[:9]) for run in digits), default=0) if "%" in form else 0
