"""Recorded values and names as one line of text, never longer than asked, and harmless to a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.operators import REASONS

WIDTH = 60
_DEPTH = 6


def printable(text: str) -> str:
    """Recorded text without what would steer a terminal: control characters as escapes, line ends too."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def shorten(text: str, width: int) -> str:
    """At most ``width`` characters, the end left out."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def of(value: Value, width: int = WIDTH) -> str:
    """A value as Python would show it, or why it was not captured."""
    pieces: list[str] = []
    left = width
    for piece in _pieces(value, width, 0):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            break
    return shorten("".join(pieces), width)


def _pieces(value: Value, width: int, depth: int) -> Iterator[str]:
    match value.kind:
        case ValueKind.SCALAR:
            yield _scalar(value, width)
        case ValueKind.MISSING | ValueKind.REDACTED:
            yield _missing(value)
        case ValueKind.UNBOUND:
            yield "<unbound>"
        case ValueKind.NAMED:
            yield f"<{printable(value.type or 'object')} {printable(str(value.scalar or ''))}>"
        case ValueKind.TEMPORAL:
            yield f"{value.type}({printable(str(value.scalar))})"
        case ValueKind.RANGE:
            yield f"range({', '.join(str(item.scalar) for item in value.items)})"
        case _ if depth >= _DEPTH:
            yield "…"
        case ValueKind.SEQUENCE:
            yield from _sequence(value, width, depth)
        case ValueKind.MAPPING:
            yield "{"
            yield from _joined(
                (_entry(key, item, width, depth) for key, item in value.entries), _rest(value, len(value.entries))
            )
            yield "}"
        case ValueKind.SUBCLASS:
            yield f"{short_type(value.type)}("
            yield from _joined([_pieces(item, width, depth + 1) for item in value.items[:1]], "")
            yield ")"
        case ValueKind.EXCEPTION:
            yield f"{short_type(value.type)}("
            yield from _joined(
                [_pieces(item, width, depth + 1) for item in value.items], _rest(value, len(value.items))
            )
            yield ")"
        case _:
            yield f"{short_type(value.type)}("
            yield from _joined(
                (_attribute(name, item, width, depth) for name, item in value.attributes), _rest(value, 0)
            )
            yield ")"


def _sequence(value: Value, width: int, depth: int) -> Iterator[str]:
    opening, closing = {"tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("frozenset({", "})")}.get(
        value.type, ("[", "]")
    )
    if value.size == 0 and value.type in {"set", "frozenset"}:
        yield f"{value.type}()"
        return
    yield opening
    yield from _joined([_pieces(item, width, depth + 1) for item in value.items], _rest(value, len(value.items)))
    yield ",)" if value.type == "tuple" and value.size == 1 else closing


def _entry(key: Value, item: Value, width: int, depth: int) -> Iterator[str]:
    yield from _pieces(key, width, depth + 1)
    yield ": "
    yield from _pieces(item, width, depth + 1)


def _attribute(name: str, item: Value, width: int, depth: int) -> Iterator[str]:
    yield f"{printable(name)}="
    yield from _pieces(item, width, depth + 1)


def _joined(parts: Iterable[Iterator[str]], rest: str) -> Iterator[str]:
    first = True
    for part in parts:
        if not first:
            yield ", "
        first = False
        yield from part
    if rest:
        yield rest if first else f", {rest}"


def _rest(value: Value, captured: int) -> str:
    """What was left out at the end: how many, or why."""
    if value.size is not None and value.size > captured:
        return f"… {value.size - captured:,} more"
    return f"… {REASONS.get(value.missing, '')}".rstrip() if value.missing is not None else ""


def _scalar(value: Value, width: int) -> str:
    scalar = value.scalar
    if isinstance(scalar, str | bytes):
        cut = value.size is not None and value.size > len(scalar)
        shown = repr(scalar[: width + 1])
        if value.type == "bytearray":
            shown = f"bytearray({shown})"
        return f"{shown}… {value.size:,} in all" if cut and len(scalar) <= width else shown
    if scalar is None and value.type == "int":
        return f"<{'negative ' if (value.size or 0) < 0 else ''}int of {abs(value.size or 0):,} bits>"
    if scalar is None and value.type != "NoneType":
        return {"ellipsis": "...", "NotImplementedType": "NotImplemented"}.get(value.type, "None")
    if isinstance(scalar, int) and scalar.bit_length() > 8 * width:
        return f"{hex(scalar)[:width]}…"
    return repr(scalar)


def _missing(value: Value) -> str:
    reason = REASONS.get(value.missing, "") if value.missing is not None else ""
    of_type = short_type(value.type)
    if value.kind is ValueKind.REDACTED:
        return "<redacted>"
    return f"<{of_type or 'value'}: not captured{', ' + reason if reason else ''}>"


def short_type(name: str) -> str:
    """``Order`` for ``orders.models.Order``."""
    return printable(name.rpartition(".")[2])


def clock(time_ns: int) -> str:
    """``12:03:04``, in UTC; "" for what is no time."""
    try:
        return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return ""


def duration(nanoseconds: int) -> str:
    """Three digits at most: ``84 ms``, ``0.41 ms``, ``3.2 s``."""
    amount, unit = next(
        (
            (nanoseconds / size, unit)
            for size, unit in ((60e9, "min"), (1e9, "s"), (1e6, "ms"))
            if abs(nanoseconds) >= size
        ),
        (nanoseconds / 1e6, "ms") if abs(nanoseconds) >= 10_000 else (nanoseconds / 1e3, "µs"),
    )
    digits = 0 if abs(amount) >= 10 else 1 if abs(amount) >= 1 else 2
    return f"{amount:.{digits}f} {unit}"
