"""What a captured value may say of a real one: the same, or an honest part of it. No code of the value runs."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import socket
import traceback
import types
from typing import Any

import numpy as np
from graphs import ASSIGNED
from native_decoder import V

CONTENT = (str, bytes, bytearray, int, float, complex, dict, list, tuple, set, frozenset)
CONTENT_TAGS = {"INT", "FLOAT", "COMPLEX", "STR", "BYTES", "BYTEARRAY", "DICT", "LIST", "TUPLE", "SET", "FROZENSET"}
MACHINERY = {"_sort_order_", "_sa_instance_state"}
_TYPE_DICT, _TYPE_MRO = type.__dict__["__dict__"], type.__dict__["__mro__"]


def attributes(o: Any) -> dict[str, Any]:
    """The object's own attributes, by the descriptors that its classes' C code made; no code of its own runs."""
    found = dict(ASSIGNED[id(o)][1]) if id(o) in ASSIGNED else {}
    for kind in _TYPE_MRO.__get__(type(o)):
        space = _TYPE_DICT.__get__(kind)
        holder = space.get("__dict__")
        if type(holder) in {types.GetSetDescriptorType, types.MemberDescriptorType}:
            found |= {key: item for key, item in holder.__get__(o).items() if type(key) is str}
        for name, member in space.items():
            if type(member) is types.MemberDescriptorType:
                try:
                    found.setdefault(name, member.__get__(o))
                except AttributeError:
                    continue
    return found


def of(o: Any, *kinds: type) -> bool:
    """isinstance(), which asks no ``__class__``."""
    return issubclass(type(o), kinds)


def same(a: Any, b: Any) -> bool:
    return repr(a) == repr(b) if of(a, float, complex) else type(a) is type(b) and a == b


def check(seen: V, real: Any) -> None:
    """`seen` is `real`, or an honest part of it."""
    checks = {"OBJECT": check_object, "SUBCLASS": check_subclass, "EXCEPTION": check_exception}
    if seen.tag in {"REDACTED", "MISSING"}:
        assert 1 <= seen.reason <= 9
    elif seen.tag in CONTENT_TAGS:
        assert any(type(real) is kind for kind in CONTENT)
        check_content(seen, real)
    elif seen.tag in checks:
        assert seen.identity in {id(real) >> 4, 0}
        checks[seen.tag](seen, real)
    elif seen.tag == "NAMED":
        assert type(real) in {
            type,
            types.FunctionType,
            types.ModuleType,
            types.BuiltinFunctionType,
            types.GeneratorType,
        }
    elif seen.tag == "TEMPORAL":
        check_moment(seen, real)
    elif seen.tag != "UNBOUND":
        assert same(seen.value, real)


def check_content(seen: V, real: Any) -> None:
    """Of a built-in, or of what derives from it: its content as the built-in stores it."""
    if seen.tag == "INT":
        real = int.__index__(real)
        assert seen.value == real if seen.value is not None else seen.size == real.bit_length() > 63
    elif seen.tag == "FLOAT":
        assert repr(seen.value) == float.__repr__(real)
    elif seen.tag == "COMPLEX":
        assert repr(seen.value) == complex.__repr__(real)
    elif seen.tag in {"STR", "BYTES", "BYTEARRAY"}:
        base = {"STR": str, "BYTES": bytes, "BYTEARRAY": bytearray}[seen.tag]
        assert seen.size == base.__len__(real)
        assert base.__getitem__(real, slice(len(seen.value))) == seen.value
    elif seen.tag == "DICT":
        assert seen.size == dict.__len__(real)
        assert (len(seen.entries) == seen.size) == (seen.reason == 0)
        for (key, item), pair in zip(seen.entries, dict.items(real), strict=False):
            check(key, pair[0])
            check(item, pair[1])
    else:
        base = {"LIST": list, "TUPLE": tuple, "SET": set, "FROZENSET": frozenset}[seen.tag]
        assert seen.size == base.__len__(real)
        assert (len(seen.items) == seen.size) == (seen.reason == 0)
        for item, inside in zip(seen.items, base.__iter__(real), strict=False):
            check(item, inside)


def check_moment(seen: V, real: Any) -> None:
    kinds = {1: dt.date, 2: dt.time, 3: dt.datetime, 4: dt.timedelta}
    base = kinds[seen.size]
    assert of(real, base)
    if base is dt.timedelta:
        days, seconds, micros = (base.__dict__[name].__get__(real) for name in ("days", "seconds", "microseconds"))
        assert seen.value == f"{days},{seconds},{micros}"
    else:
        zone = None if base is dt.date else base.__dict__["tzinfo"].__get__(real)
        named = zone is not None and type(zone) is not dt.timezone
        assert seen.value == (
            f"{base.isoformat(real.replace(tzinfo=None))}[Here/There]" if named else base.isoformat(real)
        )


def check_subclass(seen: V, real: Any) -> None:
    (inside,) = seen.items
    name = seen.type.rpartition(".")[2]
    if inside.tag in {"MISSING", "REDACTED"}:
        return
    if of(real, np.generic):
        assert same(inside.value, real.item())
    elif name in {"Decimal", "UUID", "PosixPath", "PurePosixPath"}:
        whole = str(real) if not (name == "Decimal" and real.is_nan()) else inside.value
        assert whole.startswith(inside.value) or decimal.Decimal(inside.value).compare_total(real) == 0
    elif name == "deque":
        assert inside.size == collections.deque.__len__(real)
        for item, held in zip(inside.items, collections.deque.__iter__(real), strict=False):
            check(item, held)
    elif name in {"mappingproxy", "Row"} and inside.tag == "DICT":
        held = real.items() if name == "mappingproxy" else zip(real.keys(), real, strict=True)
        for (key, item), pair in zip(inside.entries, held, strict=False):
            check(key, pair[0])
            check(item, pair[1])
    elif inside.tag == "TEMPORAL":
        check_moment(inside, real)
    else:
        check_content(inside, real)


def check_object(seen: V, real: Any) -> None:
    if seen.type == "numpy.ndarray" and seen.attributes:
        check_array(seen.attributes, real)
        return
    owned = {name: item for name, item in attributes(real).items() if name not in MACHINERY}
    for name, value in seen.attributes.items():
        check_attribute(owned, name, value)
    if seen.reason == 0 and not of(real, socket.socket):  # C's own members that are no objects are left out
        shown = {name for name in owned if not (name.startswith("__") and name.endswith("__"))}
        unset = {name for name in shown if owned[name] is None}  # members of C types say nothing when they are None
        assert shown - unset <= set(seen.attributes) or any(name.endswith("…") for name in seen.attributes)


def check_attribute(owned: dict[str, Any], name: str, value: V) -> None:
    names = [own for own in owned if own == name or (name[-1:] == "…" and own.startswith(name[:-1]))]
    assert names
    if len(names) == 1:
        check(value, owned[names[0]])


def check_array(found: dict[str, V], real: Any) -> None:
    assert [item.value for item in found["shape"].items] == list(real.shape)[: len(found["shape"].items)]
    if found["flat"].tag == "LIST":
        assert found["flat"].size == real.size
        for item, inside in zip(found["flat"].items, real.flat, strict=False):
            if real.dtype == object:
                check(item, inside)
            else:
                assert same(item.value, inside.item())


def check_exception(seen: V, real: Any) -> None:
    (args,) = seen.items
    if args.tag == "TUPLE":
        check(args, BaseException.__dict__["args"].__get__(real))
    owned = attributes(real)
    for name in ("__cause__", "__context__"):
        owned[name] = BaseException.__dict__[name].__get__(real)
    for name, value in seen.attributes.items():
        check_attribute(owned, name, value)


def trouble(seen: V, real: Any) -> str:
    """What is wrong with what is said of a value, "" if nothing: pytest must not come near a hostile one."""
    try:
        check(seen, real)
    except Exception:
        return traceback.format_exc() + repr(seen)
    return ""
