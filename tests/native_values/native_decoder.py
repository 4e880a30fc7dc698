"""A second reader of docs/format.md, written for these tests only, and rings made by child processes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REASONS = ("", "depth", "size-items", "fields", "timeout", "name", "type", "concurrent", "room", "opaque")


@dataclass
class V:
    """A decoded value: ``tag`` by name; ``value`` for scalars; ``items``, ``entries``, ``attributes`` for the rest."""

    tag: str
    value: Any = None
    type: str = ""
    size: int = 0
    reason: int = 0
    identity: int = 0
    items: list[V] = field(default_factory=list)
    entries: list[tuple[V, V]] = field(default_factory=list)
    attributes: dict[str, V] = field(default_factory=dict)


class Bytes:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def raw(self, n: int) -> bytes:
        assert self.at + n <= len(self.data), "past the end"
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self) -> int:
        return self.raw(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def svarint(self) -> int:
        n = self.varint()
        return (n >> 1) ^ -(n & 1)

    def str(self) -> str:
        return self.raw(self.varint()).decode("utf-8", "surrogatepass")

    def attrs(self) -> dict[str, V]:
        return {self.str(): self.value() for _ in range(self.varint())}

    def value(self) -> V:
        tag = self.u8()
        return getattr(self, f"_{tag:02x}", self._simple)(tag)

    def _simple(self, tag: int) -> V:
        names = {0: "UNBOUND", 1: "NONE", 2: "TRUE", 3: "FALSE", 4: "ELLIPSIS", 5: "NOTIMPLEMENTED"}
        constants = {1: None, 2: True, 3: False, 4: ..., 5: NotImplemented}
        return V(names[tag], constants.get(tag))

    def _06(self, tag: int) -> V:
        return V("INT", self.svarint())

    def _07(self, tag: int) -> V:
        negative, bits, n = self.u8(), self.varint(), self.varint()
        magnitude = int.from_bytes(self.raw(n), "little")
        return V("INT", (-magnitude if negative else magnitude) if n else None, size=bits, reason=0 if n else 8)

    def _08(self, tag: int) -> V:
        return V("FLOAT", struct.unpack("<d", self.raw(8))[0])

    def _09(self, tag: int) -> V:
        return V("COMPLEX", complex(*struct.unpack("<dd", self.raw(16))))

    def _0a(self, tag: int) -> V:
        size = self.varint()
        return V("STR", self.str(), size=size)

    def _0b(self, tag: int) -> V:
        size = self.varint()
        return V("BYTES" if tag == 0x0B else "BYTEARRAY", self.raw(self.varint()), size=size)

    _0c = _0b

    def _0d(self, tag: int) -> V:
        identity, size, n, reason = self.varint(), self.varint(), self.varint(), self.u8()
        name = {0x0D: "LIST", 0x0E: "TUPLE", 0x0F: "SET", 0x10: "FROZENSET"}[tag]
        return V(name, size=size, reason=reason, identity=identity, items=[self.value() for _ in range(n)])

    _0e = _0f = _10 = _0d

    def _11(self, tag: int) -> V:
        identity, size, n, reason = self.varint(), self.varint(), self.varint(), self.u8()
        return V(
            "DICT",
            size=size,
            reason=reason,
            identity=identity,
            entries=[(self.value(), self.value()) for _ in range(n)],
        )

    def _12(self, tag: int) -> V:
        type_, identity, n, reason = self.str(), self.varint(), self.varint(), self.u8()
        return V(
            "OBJECT",
            type=type_,
            identity=identity,
            reason=reason,
            attributes={self.str(): self.value() for _ in range(n)},
        )

    def _13(self, tag: int) -> V:
        return V("SUBCLASS", type=self.str(), identity=self.varint(), items=[self.value()])

    def _14(self, tag: int) -> V:
        type_, identity, args = self.str(), self.varint(), self.value()
        return V("EXCEPTION", type=type_, identity=identity, items=[args], attributes=self.attrs())

    def _15(self, tag: int) -> V:
        what = self.u8()
        return V("NAMED", what, type=self.str(), identity=self.varint())

    def _16(self, tag: int) -> V:
        return V("REDACTED", reason=self.u8())

    def _17(self, tag: int) -> V:
        reason = self.u8()
        return V("MISSING", reason=reason, type=self.str())

    def _18(self, tag: int) -> V:
        return V("RANGE", range(self.svarint(), self.svarint(), self.svarint()))

    def _19(self, tag: int) -> V:
        what = self.u8()
        return V("TEMPORAL", self.str(), size=what)


def decode(data: bytes) -> V:
    """One value, which must take all of the bytes."""
    source = Bytes(data)
    value = source.value()
    assert source.at == len(data), "bytes behind the value"
    return value


# -- records ----------------------------------------------------------------------------------------------------------

NAMES = {
    1: "SEGMENT",
    13: "START",
    14: "ATTR",
    15: "EVENT",
    16: "LINK",
    17: "STATUS",
    18: "NAME",
    19: "END",
    20: "LOG",
    21: "KEEP",
}


def split(records: bytes) -> list[tuple[int, bytes]]:
    """(kind, body) of every record; fails on a broken one."""
    source, found = Bytes(records), []
    while source.at < len(records):
        kind = source.u8()
        found.append((kind, source.raw(int.from_bytes(source.raw(2), "little"))))
    return found


def record(kind: int, body: bytes) -> dict[str, Any]:
    """The fields of a SPAN_*, LOG, KEEP or SEGMENT record."""
    b = Bytes(body)
    r: dict[str, Any] = {"record": NAMES.get(kind, str(kind))}
    match r["record"]:
        case "SEGMENT":
            r |= {"ticks": int.from_bytes(b.raw(8), "little"), "flags": b.u8(), "thread": b.varint()}
            if r["flags"] & 1:
                r |= {"trace": b.raw(16).hex(), "span": b.raw(8).hex()}
        case "START":
            r |= {
                "dt": b.varint(),
                "span": b.raw(8).hex(),
                "trace": b.raw(16).hex(),
                "parent": b.raw(8).hex(),
                "kind": b.u8(),
            }
            r |= {
                "flags": b.u8(),
                "remote": b.u8(),
                "start": b.varint(),
                "name": b.str(),
                "scope": b.str(),
                "attrs": b.attrs(),
            }
            assert b.varint() == 0
        case "ATTR":
            r |= {"span": b.raw(8).hex(), "attrs": b.attrs()}
        case "EVENT":
            r |= {"dt": b.varint(), "span": b.raw(8).hex(), "time": b.varint(), "name": b.str(), "attrs": b.attrs()}
        case "LINK":
            r |= {"span": b.raw(8).hex(), "trace": b.raw(16).hex(), "other": b.raw(8).hex(), "attrs": b.attrs()}
        case "STATUS":
            r |= {"span": b.raw(8).hex(), "code": b.u8(), "text": b.str()}
        case "NAME":
            r |= {"span": b.raw(8).hex(), "name": b.str()}
        case "END":
            r |= {"dt": b.varint(), "span": b.raw(8).hex(), "end": b.varint()}
        case "LOG":
            r |= {"dt": b.varint(), "severity": b.varint(), "logger": b.str(), "message": b.value(), "args": b.value()}
            r |= {"file": b.str(), "line": b.varint(), "function": b.str(), "exception": b.value()}
        case "KEEP":
            r |= {"dt": b.varint(), "reason": b.str(), "attrs": b.attrs()}
        case _:
            return r
    assert b.at == len(body), f"bytes behind {r}"
    return r


# -- rings ------------------------------------------------------------------------------------------------------------

START = """
import os, sys
from aftertrace import _native as n
n.start(n.LEVEL_SPANS, ring_bytes={ring_bytes}, defs_bytes=1 << 16, roots=[], libraries=[])
"""
SAVE = """
open(sys.argv[1], "wb").write(os.pread(n.ring_fd(), 1 << 30, 0))
"""


def child_source(code: str, ring_bytes: int = 1 << 20) -> str:
    return START.format(ring_bytes=ring_bytes) + textwrap.dedent(code)


def ring_of(code: str, path: Path, ring_bytes: int = 1 << 20) -> Path:
    """Runs `code` (``n`` is the extension, recording) in a process of its own, and leaves its ring in `path`."""
    source = child_source(code, ring_bytes) + SAVE
    done = subprocess.run(
        [sys.executable, "-c", source, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return path


def records_of(path: Path) -> list[dict[str, Any]]:
    """All records of a ring, each with the trace of its segment."""
    from aftertrace import _native

    fd = os.open(path, os.O_RDONLY)
    try:
        reader = _native.Reader(fd)
    finally:
        os.close(fd)
    found = []
    while slices := reader.poll():
        for _, trace, thread, records in slices:
            for kind, body in split(records):
                found.append(record(kind, body) | {"in": trace.hex() if trace else None, "by": thread})
    return found
