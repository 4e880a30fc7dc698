"""A recorded log call's message with its arguments put in, without running any code of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aftertrace.model import Value, ValueKind

_PLACE = re.compile(r"%(?:\((?P<name>\w+)\))?(?P<form>[-#0 +]*\d{0,3}(?:\.\d{1,3})?)(?P<kind>[sdrifgxXeoca%])")
_LONGEST = 4000


def text(message: Value, arguments: Value) -> str:
    """``%``-formatting over recorded values; a place whose value was not captured is left as it stands."""
    template = message.scalar if isinstance(message.scalar, str) else ""
    if not template:
        return f"<{message.type}>" if message.type != "str" else ""
    if arguments.kind is ValueKind.MAPPING:
        named = {str(key.scalar): value for key, value in arguments.entries}
        given: Iterator[Value] = iter(())
    else:
        items = arguments.items
        only = items[0] if len(items) == 1 else None
        mapped = only is not None and only.kind is ValueKind.MAPPING
        named = {str(key.scalar): value for key, value in only.entries} if only is not None and mapped else {}
        given = iter(items)
    if not named and not arguments.items:
        return template[:_LONGEST]

    def put(match: re.Match[str]) -> str:
        if match["kind"] == "%":
            return "%"
        value = named.get(match["name"]) if match["name"] else next(given, None)
        return match[0] if value is None else _one(value, match["form"], match["kind"], match[0])

    return _PLACE.sub(put, template)[:_LONGEST]


def _one(value: Value, form: str, kind: str, otherwise: str) -> str:
    if value.kind is ValueKind.EXCEPTION:
        inside = ", ".join(str(item.scalar) for item in value.items)
        return inside if kind == "s" else f"{value.type.rpartition('.')[2]}({inside})"
    if value.kind is not ValueKind.SCALAR:
        return f"<{value.type}>" if value.type else otherwise
    try:
        return f"%{form}{kind}" % (value.scalar,)
    except (TypeError, ValueError, OverflowError):
        return str(value.scalar)
