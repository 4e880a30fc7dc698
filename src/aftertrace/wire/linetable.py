"""CPython's line table (3.11 and later, Objects/locations.md): which line, and which columns, each instruction has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aftertrace.wire.primitives import broken

_NO_COLUMNS, _LONG, _NONE = 13, 14, 15  # codes of an entry


class Place(NamedTuple):
    """Where an instruction stands in its file: lines from 1, columns from 0 in bytes of UTF-8; -1: not known."""

    line: int
    end_line: int
    column: int
    end_column: int


def lines(table: bytes, first_line: int) -> dict[int, int]:
    """Line of each instruction (offset in code units, as ``lasti``); those without one are left out. BadRecording."""
    return {unit: place.line for unit, place in places(table, first_line).items()}


def places(table: bytes, first_line: int) -> dict[int, Place]:
    """Place of each instruction; those without one are left out. BadRecording."""
    found: dict[int, Place] = {}
    unit = 0
    try:
        for length, place in _entries(table, first_line):
            if place is not None:
                found.update(dict.fromkeys(range(unit, unit + length), place))
            unit += length
    except IndexError:
        raise broken("a line table ends early") from None
    return found


def _entries(table: bytes, line: int) -> Iterator[tuple[int, Place | None]]:
    """Code units that an entry covers, and their place. IndexError: it ends early."""
    at = 0
    while at < len(table):
        head = table[at]
        if not head & 0x80:
            raise broken("a line table has no entry where one begins")
        code, length = head >> 3 & 15, (head & 7) + 1
        at += 1
        end_line, column, end_column = line, -1, -1
        if code in {_NO_COLUMNS, _LONG}:
            delta, at = _varint(table, at)
            line += -(delta >> 1) if delta & 1 else delta >> 1
            end_line = line
            if code == _LONG:
                more, at = _varint(table, at)
                column, at = _varint(table, at)
                end_column, at = _varint(table, at)
                end_line, column, end_column = line + more, column - 1, end_column - 1
        elif 10 <= code <= 12:
            line += code - 10
            end_line, column, end_column = line, table[at], table[at + 1]
            at += 2
        elif code < 10:
            column = code << 3 | table[at] >> 4
            end_column = column + (table[at] & 15)
            at += 1
        yield length, None if code == _NONE else Place(line, end_line, column, end_column)


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
