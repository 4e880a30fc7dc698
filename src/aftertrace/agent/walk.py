"""Over the records of a slice without decoding them: their bounds and ticks, the code they name."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from aftertrace.wire.kinds import Kind

CONTINUED = 4  # flag of a SEGMENT that the reader made
HEAD = 3  # bytes: kind, length
_U64 = (1 << 64) - 1
_STAMPED = {
    Kind.START,
    Kind.RETURN,
    Kind.YIELD,
    Kind.RESUME,
    Kind.THROW,
    Kind.RAISE,
    Kind.RERAISE,
    Kind.HANDLED,
    Kind.UNWIND,
    Kind.SPAN_START,
    Kind.SPAN_EVENT,
    Kind.SPAN_END,
    Kind.LOG,
    Kind.KEEP,
    Kind.GAP,
}
STAMPED = [kind in _STAMPED for kind in range(256)]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number and the offset behind it. IndexError: the bytes end early."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
        shift += 7


def walk(records: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(kind, start, end, absolute ticks before it, and with its own stamp) of each whole record."""
    at, size, ticks = 0, len(records), 0
    while at + HEAD <= size and (kind := records[at]):
        body = at + HEAD
        end = body + (records[at + 1] | records[at + 2] << 8)
        if end > size:
            return
        before = ticks
        try:
            if kind == Kind.SEGMENT:
                ticks = int.from_bytes(records[body : body + 8], "little")
            elif STAMPED[kind]:
                ticks += read_varint(records, body)[0]
        except IndexError:
            return
        yield kind, at, end, before, ticks
        at = end


def ticks_of(records: bytes) -> int:
    """Absolute ticks of the SEGMENT that a slice opens with."""
    return int.from_bytes(records[HEAD : HEAD + 8], "little")


def is_continued(records: bytes) -> bool:
    """Whether the slice goes on where the one before it ended."""
    return bool(records[HEAD + 8] & CONTINUED)


def without_segment(records: bytes) -> bytes:
    return records[HEAD + (records[1] | records[2] << 8) :]


def position_of(position: int, records: bytes, offset: int) -> int:
    """Where in the ring the record at an offset of a slice stands: a SEGMENT that the reader made stands nowhere."""
    return position + offset - (HEAD + (records[1] | records[2] << 8) if is_continued(records) else 0)


_FRAGMENT = struct.Struct("<BHQBB16s8x")  # a SEGMENT: kind, length, ticks, flags, thread 0, trace, no span


def fragment(trace: bytes, ticks: int, record: bytes) -> bytes:
    """One record as a slice of its own: of a span whose record stands in another trace's slice, or in none's."""
    return _FRAGMENT.pack(Kind.SEGMENT, _FRAGMENT.size - HEAD, ticks & _U64, CONTINUED | 1, 0, trace) + record


def code_of(kind: int, records: bytes, start: int) -> int:
    """The code that a START or FRAME names; 0: another record, or broken."""
    try:
        at = start + HEAD
        if kind == Kind.START:
            _, at = read_varint(records, at)
        elif kind != Kind.FRAME:
            return 0
        _, at = read_varint(records, at)
        return read_varint(records, at)[0]
    except IndexError:
        return 0
