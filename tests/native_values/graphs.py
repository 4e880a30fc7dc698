"""Random graphs of values, hostile ones among them."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import io
import pathlib
import socket
import sqlite3
import struct
import threading
import types
import uuid
import weakref
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pydantic
from hypothesis import strategies as st

RAN: list[str] = []  # what of a hostile class was run

TRAPS = """
    __repr__ __str__ __len__ __bool__ __iter__ __getitem__ __contains__ __eq__ __ne__ __hash__ __getattr__ __index__
    __getattribute__ __int__ __float__ __format__ __bytes__ __next__ __length_hint__ __reduce_ex__ __sizeof__ __dir__
    __call__ __get__ __lt__ __instancecheck__ __subclasscheck__ __fspath__ __array__ __iter__ __missing__ __complex__
    __enter__ __await__ __aiter__ __buffer__ keys items values utcoffset tzname dst as_tuple hex isoformat
""".split()  # noqa: SIM905 (a list of this length is easier to read so)


def trap(name: str) -> Any:
    def method(*args: object, **kwargs: object) -> Any:
        RAN.append(name)
        raise AssertionError(name)

    return method


class Meta(type):
    """Every look at the class by Python code is a trap, too."""

    __getattribute__ = trap("meta.__getattribute__")
    __instancecheck__ = trap("meta.__instancecheck__")
    __repr__ = trap("meta.__repr__")
    __eq__ = trap("meta.__eq__")
    __hash__ = trap("meta.__hash__")


@functools.cache
def hostile(base: type, meta: type = type) -> Any:
    """A class whose every method, property and lie is a trap; made once."""
    space: dict[str, Any] = {name: trap(f"{base.__name__}.{name}") for name in TRAPS}
    for lie in ("__class__", "__dict__", "__module__", "__slots_", "args", "real", "_str", "year"):
        space[lie] = property(trap(f"{base.__name__}.{lie}"))
    return type.__new__(meta, f"Hostile{base.__name__}", (base,), space)


class Plain:
    """Attributes as they are given."""


class Slotted:
    __slots__ = ("left", "never", "right")


class Both(Slotted):
    __slots__ = ("__dict__", "__weakref__", "own")


@dataclasses.dataclass
class Data:
    name: Any
    count: Any = 1


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    name: Any
    count: Any = 1


class Row(NamedTuple):
    x: Any
    note: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", arbitrary_types_allowed=True)
    name: Any = None
    count: int = 1


class Colour(enum.Enum):
    RED = "red"
    BLUE = [1]


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Liar:
    __class__ = property(lambda self: int)  # type: ignore[assignment]


class Deleting:
    def __del__(self) -> None:
        pass


def _generator() -> Any:
    yield 1


def _database_row(text: str) -> sqlite3.Row:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("SELECT 1 AS a, ? AS b", (text.encode(errors="replace").decode(),)).fetchone()
    connection.close()
    return row


def _half(kind: type) -> Any:
    return kind.__new__(kind)


# A zone that no host has to know: no offset, no daylight saving.
_TZIF = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"
ZONE = zoneinfo.ZoneInfo.from_file(io.BytesIO(_TZIF), key="Here/There")

_CLOSED = socket.socket()
_CLOSED.close()
_PROXIED = Plain()

text = st.text(st.characters(exclude_categories=()), max_size=30)
hashables = st.one_of(
    st.none(), st.booleans(), st.integers(), text, st.binary(max_size=9), st.tuples(st.integers(), text)
)
moments = st.datetimes(timezones=st.sampled_from([None, dt.UTC, ZONE, dt.timezone(dt.timedelta(0, 59))]))
dtypes = st.sampled_from(
    ["?", "i1", "u1", "i2", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", ">i4", "O", "U3", "M8[ns]", "longdouble"]
)
shapes = st.lists(st.integers(0, 3), max_size=4).map(tuple)
PARTS = [("/a", "c"), ("b", "../d"), (".", "x"), ("/",), ("//net", "e"), ("a//b",)]
LEAVES: list[st.SearchStrategy[Any]] = [
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 700), 1 << 700),
    st.floats(),
    st.complex_numbers(),
    text,
    st.binary(max_size=30),
    st.binary(max_size=30).map(bytearray),
    st.sampled_from(
        [..., NotImplemented, range(3), range(1 << 80), slice(1), int, Plain, len, _generator, np.int8, collections]
    ),
    st.sets(hashables, max_size=5),
    st.frozensets(hashables, max_size=5),
    st.decimals(),
    moments,
    moments.map(lambda moment: moment.timetz()),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    text.map(lambda string: string.replace("\0", "")).map(pathlib.Path),
    st.sampled_from(range(6)).map(lambda n: pathlib.PurePosixPath(*PARTS[n])),
    st.sampled_from([*Colour, *Bits, Bits(3)]),
    text.map(collections.Counter),
    text.map(_database_row),
    st.builds(np.zeros, shapes, dtypes),
    st.builds(lambda values: np.array(values)[::-2], st.lists(st.floats(), max_size=9)),
    st.builds(lambda value, kind: np.array([value]).astype(kind)[0], st.integers(-3, 200), dtypes),
    st.builds(lambda: np.arange(24).reshape(2, 3, 4).T),
    st.lists(st.integers(0, 9), max_size=5).map(pd.Series),
    st.builds(lambda: pd.DataFrame({"a": [1, 2]})),
    st.builds(lambda: pd.Timestamp("2026-01-02")),
    st.sampled_from(
        [_CLOSED, weakref.ref(_PROXIED), weakref.proxy(_PROXIED), memoryview(b"abc"), array.array("i", [1])]
    ),
    st.builds(
        lambda kind: kind(), st.sampled_from([_generator, threading.Lock, threading.RLock, Deleting, Liar, object])
    ),
    st.sampled_from([Plain, Slotted, Both, Data, Frozen, Model, Exception, OSError, KeyError, dt.timezone]).flatmap(
        lambda kind: st.builds(_half, st.just(kind)) if kind is not dt.timezone else st.just(dt.UTC)
    ),
]
HOSTILE = [object, list, dict, str, bytes, int, float, complex, set, bytearray, Exception, KeyError, collections.deque]
HOSTILE += [tuple, frozenset, decimal.Decimal, uuid.UUID, dt.timedelta, pathlib.PurePosixPath, np.ndarray]


PYTHONS_OWN = {pathlib.PurePosixPath, np.ndarray, uuid.UUID}  # whose making looks at the class


def _hostile(base: type, meta: type) -> Any:
    kind = hostile(base, type if base in PYTHONS_OWN else meta)
    if base is uuid.UUID:
        return object.__new__(kind)
    content = {str: ("text",), bytes: (b"b",), int: (5,), tuple: ([1],), np.ndarray: ((2,),)}.get(base, ())
    return base.__new__(kind, *content)


ASSIGNED: dict[int, tuple[Any, dict[str, Any]]] = {}  # of objects whose class hides their dict: object, attributes


def _assigned(o: Any, children: list[Any]) -> Any:
    """Some attributes, one of them deleted again."""
    _, kept = ASSIGNED[id(o)] = o, dict(zip(("left", "right", "own"), children, strict=False))
    for name, child in list(kept.items()):
        try:
            object.__setattr__(o, name, child)
        except AttributeError:
            del kept[name]
    if len(children) > 1:
        object.__delattr__(o, "left")
        del kept["left"]
    return o


def _objects(children: list[Any]) -> Any:
    made = np.empty(len(children), object)
    for n, child in enumerate(children):
        made[n] = child
    return made


def _cyclic(children: list[Any]) -> list[Any]:
    children.append(children)
    return children


NODES: list[Callable[[list[Any]], Any]] = [
    lambda children: children,
    tuple,
    _cyclic,
    lambda children: dict(enumerate(children)),
    lambda children: {f"k{n}": child for n, child in enumerate(children)},
    lambda children: _assigned(Plain(), children),
    lambda children: _assigned(Slotted(), children),
    lambda children: _assigned(Both(), children),
    Data,
    lambda children: Frozen(children, 2),
    lambda children: Row(children, None),
    lambda children: Model(name=children, more=children),
    lambda children: types.SimpleNamespace(a=children),
    lambda children: types.MappingProxyType({"m": children}),
    lambda children: collections.deque(children * 30, maxlen=100),
    lambda children: collections.OrderedDict(o=children),
    lambda children: collections.defaultdict(list, d=children),
    lambda children: ValueError("no", children),
    lambda children: ExceptionGroup("many", [ValueError(children)]),
    _objects,
    lambda children: functools.partial(print, *children),
    lambda children: _assigned(_hostile(object, Meta), children),
]


@dataclasses.dataclass(repr=False)
class Held:
    """Keeps hypothesis, which compares and shows what it makes, away from a hostile value."""

    value: Any


@st.composite
def graphs(draw: Any) -> Held:
    """A value at whose leaves are all kinds of things; drawn by hand, as its strategies' own repr would be enormous."""
    left = draw(st.integers(0, 12))
    ASSIGNED.clear()

    def make(depth: int) -> Any:
        nonlocal left
        if left <= 0 or depth > 5 or draw(st.booleans()):
            leaf = draw(st.integers(0, len(LEAVES) + 9))
            if leaf < len(LEAVES):
                return draw(LEAVES[leaf])
            return _hostile(HOSTILE[draw(st.integers(0, len(HOSTILE) - 1))], draw(st.sampled_from([type, Meta])))
        left -= 1
        children = [make(depth + 1) for _ in range(draw(st.integers(0, 4)))]
        return NODES[draw(st.integers(0, len(NODES) - 1))](children)

    return Held(make(0))
