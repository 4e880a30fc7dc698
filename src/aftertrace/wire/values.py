"""Captured values: bytes <-> `model.Value` <-> JSON (docs/format.md, "Value")."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from aftertrace.errors import BadRecording
from aftertrace.model import Missing, Scalar, Value, ValueKind
from aftertrace.wire.equality import cut, equal
from aftertrace.wire.primitives import Reader, broken, f64, svarint, text, varint

__all__ = ["cut", "decode", "encode", "equal", "from_json", "read", "to_json"]

_DEPTH = 64  # of nested values; the recorder writes far fewer
_NAMED = ("function", "class", "module", "builtin", "method", "code", "generator", "coroutine", "async generator")
_TEMPORAL = ("date", "time", "datetime", "timedelta")
_SEQUENCES = {0x0D: "list", 0x0E: "tuple", 0x0F: "set", 0x10: "frozenset"}
_REASONS: dict[int, Missing | None] = {0: None, **{int(reason): reason for reason in Missing}}

UNBOUND = Value(ValueKind.UNBOUND, "")
_CONSTANTS = {
    0x00: UNBOUND,
    0x01: Value(ValueKind.SCALAR, "NoneType"),
    0x02: Value(ValueKind.SCALAR, "bool", True),
    0x03: Value(ValueKind.SCALAR, "bool", False),
    0x04: Value(ValueKind.SCALAR, "ellipsis"),
    0x05: Value(ValueKind.SCALAR, "NotImplementedType"),
}
_SINGLES = {(value.type, value.scalar): bytes([tag]) for tag, value in _CONSTANTS.items() if tag}


type Told = dict[tuple[str, int], Value]  # objects with their attributes, by type and identity, as they were told last


def decode(data: bytes, offset: int = 0) -> tuple[Value, int]:
    """The value at an offset, and the offset behind it. BadRecording."""
    reader = Reader(data, offset)
    return read(reader), reader.at


def read(reader: Reader, depth: int = 0) -> Value:
    """The next value. BadRecording."""
    tag = reader.u8()
    constant = _CONSTANTS.get(tag)
    if constant is not None:
        return constant
    if depth >= _DEPTH:
        raise broken("a value is nested too deeply")
    reads = _READERS.get(tag)
    if reads is None:
        raise broken(f"there is no kind of value {tag:#04x}")
    return reads(reader, tag, depth + 1)


def _reason(reader: Reader) -> Missing | None:
    number = reader.u8()
    if number not in _REASONS:
        raise broken(f"there is no reason {number}")
    return _REASONS[number]


def _int(reader: Reader, _tag: int, _depth: int) -> Value:
    return Value(ValueKind.SCALAR, "int", reader.svarint())


def _bigint(reader: Reader, _tag: int, _depth: int) -> Value:
    negative, bits = reader.u8(), reader.varint()
    magnitude = reader.raw(reader.varint())
    if not magnitude:
        return Value(ValueKind.SCALAR, "int", None, size=-bits if negative else bits, missing=Missing.SIZE)
    number = int.from_bytes(magnitude, "little")
    return Value(ValueKind.SCALAR, "int", -number if negative else number, size=bits)


def _float(reader: Reader, _tag: int, _depth: int) -> Value:
    return Value(ValueKind.SCALAR, "float", reader.f64())


def _complex(reader: Reader, _tag: int, _depth: int) -> Value:
    return Value(ValueKind.SCALAR, "complex", complex(reader.f64(), reader.f64()))


def _str(reader: Reader, _tag: int, _depth: int) -> Value:
    size = reader.varint()
    string = reader.text()
    return Value(ValueKind.SCALAR, "str", string, size=size, missing=Missing.SIZE if len(string) < size else None)


def _bytes(reader: Reader, tag: int, _depth: int) -> Value:
    size = reader.varint()
    data = reader.raw(reader.varint())
    missing = Missing.SIZE if len(data) < size else None
    return Value(ValueKind.SCALAR, "bytes" if tag == 0x0B else "bytearray", data, size=size, missing=missing)


def _sequence(reader: Reader, tag: int, depth: int) -> Value:
    identity, size, count = reader.varint(), reader.varint(), reader.count()
    missing = _reason(reader)
    items = tuple([read(reader, depth) for _ in range(count)])
    return Value(ValueKind.SEQUENCE, _SEQUENCES[tag], items=items, size=size, identity=identity, missing=missing)


def _dict(reader: Reader, _tag: int, depth: int) -> Value:
    identity, size, count = reader.varint(), reader.varint(), reader.count(2)
    missing = _reason(reader)
    entries = tuple([(read(reader, depth), read(reader, depth)) for _ in range(count)])
    return Value(ValueKind.MAPPING, "dict", entries=entries, size=size, identity=identity, missing=missing)


def _object(reader: Reader, _tag: int, depth: int) -> Value:
    type_name, identity, count = reader.text(), reader.varint(), reader.count(2)
    missing = _reason(reader)
    attributes = tuple([(reader.text(), read(reader, depth)) for _ in range(count)])
    value = Value(ValueKind.OBJECT, type_name, attributes=attributes, identity=identity, missing=missing)
    told = reader.told
    if told is None:
        return value
    if missing is Missing.AS_BEFORE:
        before: Value = told.get((type_name, identity), value)
        return before
    if attributes or missing is None:
        told[type_name, identity] = value
    return value


def _subclass(reader: Reader, _tag: int, depth: int) -> Value:
    type_name, identity = reader.text(), reader.varint()
    return Value(ValueKind.SUBCLASS, type_name, items=(read(reader, depth),), identity=identity)


def _exception(reader: Reader, _tag: int, depth: int) -> Value:
    type_name, identity, arguments = reader.text(), reader.varint(), read(reader, depth)
    attributes = tuple([(reader.text(), read(reader, depth)) for _ in range(reader.count(2))])
    return Value(
        ValueKind.EXCEPTION,
        type_name,
        items=arguments.items,
        attributes=attributes,
        size=arguments.size,
        identity=identity,
        missing=arguments.missing,
    )


def _named(reader: Reader, _tag: int, _depth: int) -> Value:
    what, name, identity = reader.u8(), reader.text(), reader.varint()
    if not 1 <= what <= len(_NAMED):
        raise broken(f"there is no kind of name {what}")
    return Value(ValueKind.NAMED, _NAMED[what - 1], name, identity=identity)


def _redacted(reader: Reader, _tag: int, _depth: int) -> Value:
    return Value(ValueKind.REDACTED, "", missing=_reason(reader))


def _missing(reader: Reader, _tag: int, _depth: int) -> Value:
    reason = _reason(reader)
    return Value(ValueKind.MISSING, reader.text(), missing=reason)


def _range(reader: Reader, _tag: int, _depth: int) -> Value:
    parts = tuple(Value(ValueKind.SCALAR, "int", reader.svarint()) for _ in range(3))
    return Value(ValueKind.RANGE, "range", items=parts)


def _temporal(reader: Reader, _tag: int, _depth: int) -> Value:
    what = reader.u8()
    if not 1 <= what <= len(_TEMPORAL):
        raise broken(f"there is no kind of time {what}")
    return Value(ValueKind.TEMPORAL, _TEMPORAL[what - 1], reader.text())


_READERS: dict[int, Callable[[Reader, int, int], Value]] = {
    0x06: _int,
    0x07: _bigint,
    0x08: _float,
    0x09: _complex,
    0x0A: _str,
    0x0B: _bytes,
    0x0C: _bytes,
    **dict.fromkeys(_SEQUENCES, _sequence),
    0x11: _dict,
    0x12: _object,
    0x13: _subclass,
    0x14: _exception,
    0x15: _named,
    0x16: _redacted,
    0x17: _missing,
    0x18: _range,
    0x19: _temporal,
}

# -- writing


def encode(value: Value) -> bytes:
    """A value as the recorder writes it; what decode() gave comes back the same."""
    reason = bytes([int(value.missing or 0)])
    match value.kind:
        case ValueKind.UNBOUND:
            return b"\x00"
        case ValueKind.SCALAR:
            return _encode_scalar(value)
        case ValueKind.SEQUENCE:
            tag = next(tag for tag, name in _SEQUENCES.items() if name == value.type)
            head = varint(value.identity) + varint(value.size or 0) + varint(len(value.items)) + reason
            return bytes([tag]) + head + b"".join(map(encode, value.items))
        case ValueKind.MAPPING:
            head = varint(value.identity) + varint(value.size or 0) + varint(len(value.entries)) + reason
            return b"\x11" + head + b"".join(encode(key) + encode(item) for key, item in value.entries)
        case ValueKind.OBJECT:
            head = text(value.type) + varint(value.identity) + varint(len(value.attributes)) + reason
            return b"\x12" + head + _encode_attributes(value)
        case ValueKind.SUBCLASS:
            return b"\x13" + text(value.type) + varint(value.identity) + encode(value.items[0])
        case ValueKind.EXCEPTION:
            head = text(value.type) + varint(value.identity) + encode(_arguments(value))
            return b"\x14" + head + varint(len(value.attributes)) + _encode_attributes(value)
        case _:
            return _encode_rest(value, reason)


def _encode_rest(value: Value, reason: bytes) -> bytes:
    match value.kind:
        case ValueKind.NAMED:
            what = bytes([_NAMED.index(value.type) + 1])
            return b"\x15" + what + text(str(value.scalar)) + varint(value.identity)
        case ValueKind.REDACTED:
            return b"\x16" + reason
        case ValueKind.RANGE:
            return b"\x18" + b"".join(svarint(_whole(item)) for item in value.items)
        case ValueKind.TEMPORAL:
            return b"\x19" + bytes([_TEMPORAL.index(value.type) + 1]) + text(str(value.scalar))
        case _:
            return b"\x17" + reason + text(value.type)


def _whole(value: Value) -> int:
    return value.scalar if isinstance(value.scalar, int) else 0


def _arguments(value: Value) -> Value:
    if value.size is None and not value.items and value.missing is not None:
        return Value(ValueKind.MISSING, "tuple", missing=value.missing)
    size = len(value.items) if value.size is None else value.size
    return Value(ValueKind.SEQUENCE, "tuple", items=value.items, size=size, missing=value.missing)


def _encode_attributes(value: Value) -> bytes:
    return b"".join(text(name) + encode(item) for name, item in value.attributes)


def _encode_scalar(value: Value) -> bytes:
    scalar = value.scalar
    if value.type == "int":
        return _encode_int(value)
    if isinstance(scalar, str):
        return b"\x0a" + varint(len(scalar) if value.size is None else value.size) + text(scalar)
    if isinstance(scalar, bytes):
        size = len(scalar) if value.size is None else value.size
        tag = b"\x0c" if value.type == "bytearray" else b"\x0b"
        return tag + varint(size) + varint(len(scalar)) + scalar
    if isinstance(scalar, float):
        return b"\x08" + f64(scalar)
    if isinstance(scalar, complex):
        return b"\x09" + f64(scalar.real) + f64(scalar.imag)
    return _SINGLES[value.type, scalar]


def _encode_int(value: Value) -> bytes:
    number = value.scalar
    if not isinstance(number, int):
        bits = value.size or 0
        return b"\x07" + bytes([bits < 0]) + varint(abs(bits)) + b"\x00"
    if value.size is None and -(1 << 63) <= number < 1 << 63:
        return b"\x06" + svarint(number)
    bits = number.bit_length()
    magnitude = abs(number).to_bytes(max((bits + 7) // 8, 1), "little")
    return b"\x07" + bytes([number < 0]) + varint(bits) + varint(len(magnitude)) + magnitude


# -- JSON


def to_json(value: Value) -> dict[str, Any]:
    """Plain JSON data; fields that are empty are left out."""
    data: dict[str, Any] = {"kind": value.kind.value, "type": value.type}
    if value.scalar is not None:
        data["scalar"] = _scalar_to_json(value.scalar)
    if value.items:
        data["items"] = [to_json(item) for item in value.items]
    if value.entries:
        data["entries"] = [[to_json(key), to_json(item)] for key, item in value.entries]
    if value.attributes:
        data["attributes"] = [[name, to_json(item)] for name, item in value.attributes]
    if value.size is not None:
        data["size"] = value.size
    if value.identity:
        data["identity"] = value.identity
    if value.missing is not None:
        data["missing"] = value.missing.name.lower()
    return data


def from_json(data: Any) -> Value:
    """What to_json() gave. BadRecording: it did not give this."""
    try:
        return Value(
            kind=ValueKind(data["kind"]),
            type=str(data["type"]),
            scalar=_scalar_from_json(data.get("scalar")),
            items=tuple(from_json(item) for item in data.get("items", ())),
            entries=tuple((from_json(key), from_json(item)) for key, item in data.get("entries", ())),
            attributes=tuple((str(name), from_json(item)) for name, item in data.get("attributes", ())),
            size=data.get("size"),
            identity=data.get("identity", 0),
            missing=Missing[data["missing"].upper()] if "missing" in data else None,
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        raise BadRecording("bad-value", "This JSON is no recorded value.", "") from None


def _scalar_to_json(scalar: Scalar) -> Any:
    if isinstance(scalar, bytes):
        return {"$bytes": base64.b64encode(scalar).decode("ascii")}
    if isinstance(scalar, complex):
        return {"$complex": [repr(scalar.real), repr(scalar.imag)]}
    if isinstance(scalar, float) and not math.isfinite(scalar):
        return {"$float": repr(scalar)}
    if isinstance(scalar, int) and not isinstance(scalar, bool) and abs(scalar) >= 1 << 53:
        return {"$int": hex(scalar)}  # JavaScript's numbers end there
    return scalar


def _scalar_from_json(data: Any) -> Scalar:
    if not isinstance(data, dict):
        return data  # type: ignore[no-any-return]  # str, bool, int, float, None: as they are
    ((key, inner),) = data.items()
    if key == "$bytes":
        return base64.b64decode(inner, validate=True)
    if key == "$complex":
        return complex(float(inner[0]), float(inner[1]))
    if key == "$float":
        return float(inner)
    if key == "$int":
        return int(inner, 16)
    raise ValueError(key)
