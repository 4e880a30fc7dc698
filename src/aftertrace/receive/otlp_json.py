"""OTLP/JSON -> the protobuf message that says the same, so that what follows is one.

The proto3 JSON mapping with the exceptions of the OTLP specification ("JSON Protobuf Encoding"): ids are hex in either
case, keys are lowerCamelCase only, unknown fields are ignored. Enums are taken as numbers, which OTLP wants, and by
name; 64-bit integers as strings, which the mapping wants, and as numbers.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from aftertrace.errors import BadOtlp

MOST_ITEMS = 2_500_000  # more than 64 MiB of real ones could be; 32 million empty ones would take minutes
_PATH = 160  # characters of a path that are told
_DEPTH = 100  # messages in one another, as many as protobuf itself reads
_IDS = {"trace_id", "span_id", "parent_span_id"}
NO_HEX = b"not hex"  # an id of no valid length: what holds it is rejected, not the whole request
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}
_TO_STANDARD = str.maketrans("-_", "+/")  # both alphabets of base64 are taken


class _Bad(Exception):
    """What is wrong with a value; told with the path to it."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(f"{path[-_PATH:]}: {problem}" if path else problem)
        self._problem = problem
        self._path = path

    def under(self, step: str) -> _Bad:
        """The same, seen from one level further out."""
        return _Bad(self._problem, step + self._path)


def parse[Request: Message](kind: type[Request], body: bytes) -> Request:
    """An Export...ServiceRequest. Raises BadOtlp."""
    request = kind()
    try:
        document = json.loads(body.decode("utf-8"))
        _fill(request, document, 1)
    except UnicodeDecodeError:
        raise _bad("is not UTF-8") from None
    except _Bad as problem:
        raise _bad(f"is not an OTLP {kind.DESCRIPTOR.name}: {problem}") from None
    except RecursionError:
        raise _bad("is nested too deeply") from None
    except ValueError as error:  # not JSON, or a number with more digits than Python reads
        raise _bad(f"is not JSON ({str(error)[:80]})") from None
    return request


def _bad(what: str) -> BadOtlp:
    return BadOtlp("bad-otlp", f"The body {what}.", "Send OTLP as JSON: lowerCamelCase keys, ids as hex.")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str  # in Python
    repeated: bool
    oneof: str  # that it is one of, or ""
    read: Callable[[Any], Any] | None  # a plain value; None: it is a message


@functools.cache
def _fields(kind: Descriptor) -> dict[str, _Field]:
    """By JSON name."""
    return {
        one.json_name: _Field(
            one.name,
            one.is_repeated,
            one.containing_oneof.name if one.containing_oneof else "",
            None if one.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE else _reader(one),
        )
        for one in kind.fields
    }


def _fill(message: Message, data: Any, depth: int) -> None:
    """Raises _Bad."""
    if not isinstance(data, dict):
        raise _Bad(f"an object is wanted, not {_kind(data)}")
    if depth > _DEPTH:
        raise _Bad("nested too deeply")
    fields = _fields(message.DESCRIPTOR)
    for key, value in data.items():
        field = fields.get(key)
        if field is None or value is None:  # null is the default
            continue
        if field.oneof and message.WhichOneof(field.oneof):
            raise _Bad(f"there is more than one {field.oneof}")
        try:
            _set(message, field, value, depth)
        except _Bad as problem:
            raise problem.under(f".{key}") from None


def _set(message: Message, field: _Field, value: Any, depth: int) -> None:
    if field.repeated:
        _extend(getattr(message, field.name), field.read, value, depth)
    elif field.read is not None:
        setattr(message, field.name, field.read(value))
    else:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _fill(inner, value, depth + 1)


def _extend(target: Any, read: Callable[[Any], Any] | None, items: Any, depth: int) -> None:
    if not isinstance(items, list):
        raise _Bad(f"an array is wanted, not {_kind(items)}")
    if len(items) > MOST_ITEMS:
        raise _Bad(f"more than {MOST_ITEMS:,} items")
    for position, item in enumerate(items):
        try:
            if read is None:
                _fill(target.add(), item, depth + 1)
            else:
                target.append(read(item))
        except _Bad as problem:
            raise problem.under(f"[{position}]") from None


def _kind(data: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(data), "a number")


# -- plain values


def _reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _id if field.name in _IDS else _bytes
    if field.enum_type is not None:
        return functools.partial(_enum, field.enum_type)
    readers: dict[int, Callable[[Any], Any]] = {
        FieldDescriptor.CPPTYPE_STRING: _text,
        FieldDescriptor.CPPTYPE_BOOL: _bool,
        FieldDescriptor.CPPTYPE_DOUBLE: _double,
        FieldDescriptor.CPPTYPE_INT32: functools.partial(_integer, -(1 << 31), 1 << 31),
        FieldDescriptor.CPPTYPE_UINT32: functools.partial(_integer, 0, 1 << 32),
        FieldDescriptor.CPPTYPE_INT64: functools.partial(_integer, -(1 << 63), 1 << 63),
        FieldDescriptor.CPPTYPE_UINT64: functools.partial(_integer, 0, 1 << 64),
    }
    return readers[field.cpp_type]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Bad(f"a string is wanted, not {_kind(value)}")
    if value.isascii():
        return value
    # JavaScript cuts strings between the halves of a surrogate pair: half a character is none
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Bad(f"a boolean is wanted, not {_kind(value)}")
    return value


def _integer(low: int, end: int, value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    elif isinstance(value, float) and value.is_integer():  # JavaScript has no other numbers
        value = math.trunc(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Bad("an integer is wanted")
    if not low <= value < end:
        raise _Bad("the integer is out of range")
    return value


def _double(value: Any) -> float:
    if isinstance(value, str) and (value in _NOT_FINITE or _NUMBER.fullmatch(value)):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Bad("a number is wanted")
    try:
        return float(value)
    except OverflowError:
        raise _Bad("the number is out of range") from None


def _enum(kind: EnumDescriptor, value: Any) -> int:
    """A name that is not known yet is the default, as a number that is not known yet would be."""
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        known = kind.values_by_name.get(value)
        return known.number if known is not None else 0
    return _integer(-(1 << 31), 1 << 31, value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Bad(f"base64 is wanted, not {_kind(value)}")
    text = value.translate(_TO_STANDARD).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _Bad("this is not base64") from None


def _id(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Bad(f"an id as hex is wanted, not {_kind(value)}")
    return bytes.fromhex(value) if _HEX.fullmatch(value) else NO_HEX
