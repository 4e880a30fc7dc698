"""Capturing a value runs none of its code, holds no reference, makes no object."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
from native_decoder import decode

from aftertrace import _native

RAN: list[str] = []


def trap(name: str) -> Any:
    def method(*args: object, **kwargs: object) -> Any:
        RAN.append(name)
        raise AssertionError(name)

    return method


TRAPS = """
    __repr__ __str__ __len__ __bool__ __iter__ __getitem__ __contains__ __eq__ __ne__ __hash__ __getattr__
    __getattribute__ __index__ __int__ __float__ __format__ __bytes__ __next__ __length_hint__ __reduce_ex__
    __sizeof__ __dir__ __call__ __get__ __set_name__ __lt__ __instancecheck__ __subclasscheck__ __mro_entries__
""".split()  # noqa: SIM905 (a list of this length is easier to read so)


class Meta(type):
    """Every look at the class by Python code is a trap, too."""

    __getattribute__ = trap("meta.__getattribute__")
    __instancecheck__ = trap("meta.__instancecheck__")
    __subclasscheck__ = trap("meta.__subclasscheck__")
    __repr__ = trap("meta.__repr__")
    __eq__ = trap("meta.__eq__")
    __hash__ = trap("meta.__hash__")


def hostile(name: str, bases: tuple[type, ...], meta: type = type) -> Any:
    space: dict[str, Any] = {trap_name: trap(f"{name}.{trap_name}") for trap_name in TRAPS}
    space["__class__"] = property(trap(f"{name}.__class__"))
    space["__dict__"] = property(trap(f"{name}.__dict__"))
    space["secretive"] = property(trap(f"{name}.property"))
    space["__module__"] = property(trap(f"{name}.__module__"))
    return type.__new__(meta, name, bases, space)


def make(kind: type) -> Any:
    content: tuple[Any, ...] = {
        list: ([1, 2],),
        dict: ({"a": 1},),
        str: ("text",),
        bytes: (b"b",),
        int: (5,),
        float: (2.5,),
    }.get(kind, ())
    built = hostile(f"Hostile{kind.__name__}", (kind,))
    return kind.__new__(built, *content) if kind not in {list, dict, set, bytearray} else build(kind, built, content)


def build(kind: type, built: type, content: tuple[Any, ...]) -> Any:
    value = kind.__new__(built)
    kind.__init__(value, *content)
    return value


KINDS = [
    object,
    list,
    dict,
    str,
    bytes,
    int,
    float,
    complex,
    tuple,
    set,
    frozenset,
    bytearray,
    Exception,
    KeyError,
    OSError,
]


@pytest.fixture(autouse=True)
def _nothing_ran() -> Any:
    RAN.clear()
    yield
    assert RAN == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_method_of_a_value_runs(kind: type) -> None:
    value = make(kind)
    for shown in (value, [value], (value, value), {"k": value}):
        decode(_native.encode_value(shown, depth=6))
    _native.fingerprint(value)
    ran = list(RAN)
    RAN.clear()
    assert ran == []


def test_no_method_of_a_metaclass_runs() -> None:
    kind = hostile("Metaed", (), Meta)
    value = object.__new__(kind)
    seen = decode(_native.encode_value([value, kind]))
    assert [item.tag for item in seen.items] == ["OBJECT", "NAMED"]


def test_keys_are_not_compared_or_hashed() -> None:
    class Key(str):
        __slots__ = ("armed",)

        def __hash__(self) -> int:
            if getattr(self, "armed", False):
                RAN.append("hash")
            return hash("password")

        def __eq__(self, other: object) -> bool:
            if getattr(self, "armed", False):
                RAN.append("eq")
            return False

    key = Key("password")
    table = {key: "hunter2", "other": 1}
    key.armed = True
    assert b"hunter2" not in _native.encode_value(table)

    holder = type("Holder", (), {})
    value = holder()
    key.armed = False
    value.__dict__[key] = "hunter2"
    key.armed = True
    assert b"hunter2" not in _native.encode_value(value)
    key.armed = False


def test_type_with_a_hostile_key_in_its_namespace() -> None:
    class Evil(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            RAN.append("eq")
            return True

        def __hash__(self) -> int:
            return hash("__module__")

    kind = type("Kind", (), {Evil("x"): 1})
    RAN.clear()
    seen = decode(_native.encode_value(kind()))
    ran = list(RAN)
    RAN.clear()
    assert ran == []
    assert seen.type.endswith("Kind")


def test_del_is_neither_run_nor_delayed() -> None:
    ended: list[int] = []

    class Ends:
        def __del__(self) -> None:
            ended.append(1)

    value = Ends()
    _native.encode_value([value, {"v": value}])
    assert ended == []
    del value
    assert ended == [1]


def test_weak_references_stay_weak() -> None:
    class Target:
        pass

    target = Target()
    reference = weakref.ref(target)
    proxy = weakref.proxy(target)
    _native.encode_value([reference, proxy, target])
    del target
    assert reference() is None
    decode(_native.encode_value([reference, proxy]))


def test_reference_counts_are_unchanged() -> None:
    class Thing:
        __slots__ = ("__dict__", "slot")

    thing = Thing()
    thing.slot = object()
    thing.free = object()
    parts: list[Any] = [
        thing,
        thing.slot,
        thing.free,
        Thing,
        10**40,
        "text" * 10,
        [1, {}],
        {"k": object()},
        ValueError(object()),
    ]
    holder = {"parts": parts, "thing": thing}
    before = [sys.getrefcount(part) for part in parts]
    for _ in range(1000):
        _native.encode_value(holder, depth=8, items=100, fields=50)
    assert [sys.getrefcount(part) for part in parts] == before


def test_no_python_memory_is_taken() -> None:
    value = {"a": [1.5, "é" * 50, {"b": (1, 2, {3})}], "e": ValueError("x"), "o": type("O", (), {})()}
    result = _native.encode_value(value)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(1000):
        result = _native.encode_value(value)
    assert sys.getallocatedblocks() - before <= 5
    assert result


def test_a_pending_generator_is_not_advanced() -> None:
    def numbers() -> Any:
        yield 1
        RAN.append("advanced")

    generator, numbered, zipped = numbers(), iter([1]), zip([1], [2], strict=True)
    next(generator)
    RAN.clear()
    _native.encode_value([generator, numbered, map(trap("map"), [1]), zipped])
    assert RAN == []
    assert (list(numbered), list(zipped)) == ([1], [(1, 2)])
    assert list(generator) == []
    assert RAN == ["advanced"]
    RAN.clear()


def test_a_list_that_is_being_sorted() -> None:
    seen = []

    def key(item: int) -> int:
        seen.append(decode(_native.encode_value(items)).size)
        return item

    items = [3, 1, 2]
    items.sort(key=key)
    assert seen == [0, 0, 0]


def test_deleted_and_unset_attributes() -> None:
    class Half:
        __slots__ = ("a", "b", "c")

        def __init__(self) -> None:
            self.a = 1
            self.b = 2

    half = Half()
    del half.a
    assert set(decode(_native.encode_value(half)).attributes) == {"b"}
