"""The small parts of our formats (docs/format.md): varints, texts, ids; read with every bound checked."""

from __future__ import annotations

import struct
from typing import Any

from aftertrace.errors import BadRecording

_F64 = struct.Struct("<d")
_U64 = struct.Struct("<Q")


def broken(what: str) -> BadRecording:
    """The error for bytes that are not what the format says."""
    return BadRecording("broken-recording", f"The recording is damaged: {what}.", "What came before it is still used.")


class Reader:
    """Reads forward over bytes, up to ``end``. Every method raises BadRecording where the bytes end early."""

    __slots__ = ("at", "data", "end", "told")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None, told: dict[Any, Any] | None = None) -> None:
        self.told = told  # what was read before, to which this may refer: values' objects
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    def left(self) -> int:
        return self.end - self.at

    def raw(self, count: int) -> bytes:
        at = self.at
        if count < 0 or count > self.end - at:
            raise broken("it ends within a field")
        self.at = at + count
        return self.data[at : at + count]

    def u8(self) -> int:
        at = self.at
        if at >= self.end:
            raise broken("it ends within a field")
        self.at = at + 1
        return self.data[at]

    def u64(self) -> int:
        return int(_U64.unpack(self.raw(8))[0])

    def f64(self) -> float:
        return float(_F64.unpack(self.raw(8))[0])

    def varint(self) -> int:
        """LEB128 of at most 64 bits."""
        data, at, end = self.data, self.at, self.end
        result = shift = 0
        while at < end and shift < 70:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.at = at
                if result >> 64:
                    break
                return result
            shift += 7
        raise broken("a number is longer than 64 bits" if at < end else "it ends within a number")

    def svarint(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def text(self) -> str:
        try:
            return self.raw(self.varint()).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise broken("a text is not UTF-8") from None

    def count(self, least: int = 1) -> int:
        """A number of things of at least ``least`` bytes each, which must be there."""
        number = self.varint()
        if number * least > self.end - self.at:
            raise broken("it counts more than it holds")
        return number

    def hex(self, count: int) -> str:
        return self.raw(count).hex()


def varint(number: int) -> bytes:
    """LEB128; 0 <= number < 2**64."""
    if not 0 <= number < 1 << 64:
        raise ValueError(f"{number} is no varint")
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def svarint(number: int) -> bytes:
    """Zigzag; -2**63 <= number < 2**63."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def text(string: str) -> bytes:
    data = string.encode("utf-8", "surrogatepass")
    return varint(len(data)) + data


def u64(number: int) -> bytes:
    return _U64.pack(number)


def f64(number: float) -> bytes:
    return _F64.pack(number)
