"""CPython's line table (3.11 and later, Objects/locations.md): which line each instruction belongs to."""

from __future__ import annotations

from aftertrace.wire.primitives import broken

_NO_COLUMNS, _LONG, _NONE = 13, 14, 15  # codes of an entry


def lines(table: bytes, first_line: int) -> dict[int, int]:
    """Line of each instruction (offset in code units, as ``lasti``); those without one are left out. BadRecording."""
    found: dict[int, int] = {}
    line, unit, at = first_line, 0, 0
    try:
        while at < len(table):
            head = table[at]
            if not head & 0x80:
                raise broken("a line table has no entry where one begins")
            code, length = head >> 3 & 15, (head & 7) + 1
            at += 1
            if code in {_NO_COLUMNS, _LONG}:
                delta, at = _varint(table, at)
                line += -(delta >> 1) if delta & 1 else delta >> 1
                for _ in range(3 if code == _LONG else 0):
                    _, at = _varint(table, at)
            elif 10 <= code <= 12:
                line += code - 10
                at += 2
            elif code < 10:
                at += 1
            if code != _NONE:
                found.update(dict.fromkeys(range(unit, unit + length), line))
            unit += length
    except IndexError:
        raise broken("a line table ends early") from None
    return found


def _varint(table: bytes, at: int) -> tuple[int, int]:
    """Six bits a byte, the least significant first; bit 6 says that more follow."""
    number = shift = 0
    while True:
        byte = table[at]
        at += 1
        number |= (byte & 0x3F) << shift
        if not byte & 0x40:
            return number, at
        shift += 6
        if shift > 60:
            raise broken("a number in a line table is too long")
