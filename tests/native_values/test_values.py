"""A captured value decodes to the same value, or says honestly what is missing."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import gc
import math
import sys
import uuid
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_decoder import V, decode

from aftertrace import _native

text = st.text(st.characters(exclude_categories=()), max_size=40)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 700), 1 << 700),
    st.floats(),
    st.complex_numbers(),
    text,
    st.binary(max_size=40),
    st.binary(max_size=40).map(bytearray),
    st.just(...),
    st.just(NotImplemented),
)
hashables = st.one_of(
    st.none(), st.booleans(), st.integers(), text, st.binary(max_size=20), st.tuples(st.integers(), text)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(hashables, inner, max_size=6),
        st.sets(hashables, max_size=6),
        st.frozensets(hashables, max_size=6),
    ),
    max_leaves=30,
)
SCALARS = {"NONE", "TRUE", "FALSE", "ELLIPSIS", "NOTIMPLEMENTED", "INT", "FLOAT", "COMPLEX", "RANGE"}
CONTAINERS = {"LIST": list, "TUPLE": tuple, "SET": set, "FROZENSET": frozenset, "DICT": dict}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float | complex):
        return repr(a) == repr(b)
    return type(a) is type(b) and a == b


def check(seen: V, real: Any) -> None:
    """`seen` is `real`, or an honest part of it."""
    if seen.tag in {"REDACTED", "MISSING"}:
        assert 1 <= seen.reason <= 9
        return
    if seen.tag == "INT" and seen.value is None:
        assert seen.size == real.bit_length() > 63
        return
    if seen.tag in SCALARS:
        assert same(seen.value, real)
    elif seen.tag in {"STR", "BYTES", "BYTEARRAY"}:
        assert seen.size == len(real)
        assert real[: len(seen.value)] == seen.value
    else:
        check_container(seen, real)


def check_container(seen: V, real: Any) -> None:
    assert type(real) is CONTAINERS[seen.tag]
    assert seen.size == len(real)
    assert seen.identity == id(real) >> 4
    shown = seen.entries if seen.tag == "DICT" else seen.items
    assert (len(shown) == len(real)) == (seen.reason == 0)
    if seen.tag == "DICT":
        for (key, value), (real_key, real_value) in zip(seen.entries, real.items(), strict=False):
            check(key, real_key)
            check(value, real_value)
    else:
        for item, real_item in zip(seen.items, real, strict=False):  # a set's order is its table's
            check(item, real_item)


@settings(max_examples=400, deadline=None)
@given(values, st.integers(0, 6), st.integers(0, 40), st.integers(0, 300), st.integers(80, 3000))
def test_any_value_under_any_caps(value: Any, depth: int, items: int, size: int, room: int) -> None:
    data = _native.encode_value(value, depth=depth, items=items, text=size, room=room)
    assert len(data) <= room
    check(decode(data), value)


@settings(max_examples=200, deadline=None)
@given(values)
def test_with_enough_room_nothing_is_missing(value: Any) -> None:
    seen = decode(_native.encode_value(value, depth=32, items=1000, text=65535, room=1 << 20))

    def whole(v: V) -> bool:
        return (
            v.tag != "MISSING"
            and (v.reason in {0, 5} or v.tag == "INT")
            and all(map(whole, v.items + [x for e in v.entries for x in e]))
        )

    assert whole(seen)


@settings(max_examples=300, deadline=None)
@given(st.integers(-(1 << 512) + 1, (1 << 512) - 1))
def test_integers_to_512_bits_are_whole(number: int) -> None:
    assert decode(_native.encode_value(number)).value == number


@pytest.mark.parametrize(
    "number", [0, 2**30, 2**60 - 1, 2**60, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**512, -(2**9000)]
)
def test_integers_at_the_edges(number: int) -> None:
    seen = decode(_native.encode_value(number))
    if number.bit_length() <= 512:
        assert seen.value == number
    else:
        assert (seen.value, seen.size) == (None, number.bit_length())


@pytest.mark.parametrize(
    "string", ["", "a" * 5000, "é" * 5000, "漢字" * 900, "🙂" * 900, "\ud800", "a\udfffb", "\x00", "\xff\u0100"]
)
@pytest.mark.parametrize("cap", [0, 1, 2, 3, 127, 128, 129, 300, 20000])
def test_text_is_cut_between_code_points(string: str, cap: int) -> None:
    seen = decode(_native.encode_value(string, text=cap, room=30000))
    assert seen.size == len(string)
    assert string.startswith(seen.value)
    encoded = len(seen.value.encode("utf-8", "surrogatepass"))
    assert encoded <= cap
    assert seen.value == string or encoded > cap - 4


def test_utf8_is_not_cached_on_the_string() -> None:
    string = "é" * 1000
    before = sys.getsizeof(string)
    _native.encode_value(string)
    assert sys.getsizeof(string) == before


def test_cycles_end_at_the_depth() -> None:
    loop: list[Any] = []
    loop.append(loop)
    seen = decode(_native.encode_value(loop, depth=5))
    for _ in range(5):
        seen = seen.items[0]
    assert (seen.reason, seen.items) == (1, [])


def test_depth_is_bounded_whatever_is_asked() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    seen, levels = decode(_native.encode_value(deep, depth=65535, room=1 << 20)), 0
    while seen.items:
        seen, levels = seen.items[0], levels + 1
    assert 0 < levels < 100
    assert seen.reason == 1  # depth


def test_siblings_share_the_room() -> None:
    seen = decode(_native.encode_value(["x" * 5000, "y" * 5000, 7, {"k": "z" * 5000}], text=60000, room=400))
    assert [item.tag for item in seen.items] == ["STR", "STR", "INT", "DICT"]
    assert min(len(seen.items[0].value), len(seen.items[1].value)) > 50


def test_each_cut_says_why() -> None:
    assert decode(_native.encode_value(list(range(50)), items=3)).reason == 2
    assert decode(_native.encode_value(list(range(50)), items=50, room=100)).reason == 8
    assert decode(_native.encode_value([[1]], depth=1)).items[0].reason == 1

    class Wide:
        def __init__(self) -> None:
            self.__dict__.update({f"a{i}": i for i in range(40)})

    assert decode(_native.encode_value(Wide(), fields=5)).reason == 3
    assert decode(_native.encode_value(Wide(), fields=0)).attributes == {}
    assert decode(_native.encode_value(iter([1]))).reason == 9


def test_a_sparse_table_is_given_up_early() -> None:
    queue = dict.fromkeys(range(100_000))
    for i in range(99_999):
        del queue[i]
    many = set(range(100_000))
    for i in range(99_999):
        many.discard(i)
    assert decode(_native.encode_value(queue)).reason == 4
    assert decode(_native.encode_value(many)).reason == 4


# -- objects ----------------------------------------------------------------------------------------------------------


class Plain:
    def __init__(self) -> None:
        self.one = 1
        self.two = "zwei"
        self.gone = 3


class Slotted:
    __slots__ = ("_Slotted__own", "left", "never")

    def __init__(self) -> None:
        self.left = 1
        self.__own = 2  # noqa: PLE0237


class Both(Slotted):
    __slots__ = ("__dict__", "right")

    def __init__(self) -> None:
        super().__init__()
        self.right = [3]
        self.free = 4


class Point(NamedTuple):
    x: int
    secret: str


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    name: str
    count: int


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def attributes(o: object) -> dict[str, Any]:
    seen = decode(_native.encode_value(o))
    assert seen.tag == "OBJECT"
    return {name: value.value if value.tag in SCALARS | {"STR"} else value for name, value in seen.attributes.items()}


def test_attributes_in_every_storage() -> None:
    plain = Plain()
    assert attributes(plain) == {"one": 1, "two": "zwei", "gone": 3}
    del plain.gone
    plain.new = 5  # type: ignore[attr-defined]
    assert list(attributes(plain).items()) == [("one", 1), ("two", "zwei"), ("new", 5)]
    vars(plain)["more"] = 6  # the dict is materialised now
    assert attributes(plain) == {"one": 1, "two": "zwei", "new": 5, "more": 6}
    plain.__dict__ = {"other": 7}
    assert attributes(plain) == {"other": 7}
    plain.__dict__.clear()
    assert attributes(plain) == {}
    assert attributes(Slotted()) == {"left": 1, "_Slotted__own": 2}
    both = attributes(Both())
    assert (both["free"], both["left"], both["right"].tag) == (4, 1, "LIST")
    assert attributes(Frozen("n", 2)) == {"name": "n", "count": 2}


def test_looking_materialises_no_dict() -> None:
    objects = [Plain() for _ in range(200)]
    gc.collect()
    before = sys.getallocatedblocks()
    for o in objects:
        _native.encode_value(o)
    assert sys.getallocatedblocks() - before < 50


def test_many_attributes_beyond_the_shared_keys() -> None:
    plain = Plain()
    for i in range(100):
        setattr(plain, f"a{i}", i)
    seen = decode(_native.encode_value(plain, fields=200, room=9000))
    assert len(seen.attributes) == 103


def test_types_are_named_with_their_module() -> None:
    assert decode(_native.encode_value(Plain())).type == f"{__name__}.Plain"
    assert decode(_native.encode_value(collections.deque())).type == "collections.deque"
    assert decode(_native.encode_value(object())).type == "object"

    class Local:
        pass

    assert decode(_native.encode_value(Local())).type.endswith("<locals>.Local")


@pytest.mark.parametrize(
    ("value", "tag", "content"),
    [
        (collections.OrderedDict(a=1), "DICT", None),
        (collections.defaultdict(int, a=1), "DICT", None),
        (Point(1, "s"), "TUPLE", None),
        (Level.HIGH, "INT", 3),
        (type("S", (str,), {})("text"), "STR", "text"),
        (type("F", (float,), {})(1.5), "FLOAT", 1.5),
        (type("B", (bytes,), {})(b"b"), "BYTES", b"b"),
        (type("L", (list,), {})([1]), "LIST", None),
        (type("T", (set,), {})([1]), "SET", None),
        (type("D", (dt.datetime,), {})(2026, 1, 2), "TEMPORAL", "2026-01-02T00:00:00"),
    ],
)
def test_subclasses_show_their_content(value: Any, tag: str, content: Any) -> None:
    seen = decode(_native.encode_value(value))
    assert (seen.tag, seen.items[0].tag, seen.items[0].value) == ("SUBCLASS", tag, content)


def test_an_enum_member_shows_name_and_value() -> None:
    shown = attributes(Colour.RED)
    assert (shown["_value_"], shown["_name_"]) == ("red", "RED")


@settings(max_examples=200, deadline=None)
@given(st.decimals())
def test_decimals(number: decimal.Decimal) -> None:
    seen = decode(_native.encode_value(number))
    if seen.tag == "MISSING":
        assert len(number.as_tuple().digits) > 57
        return
    assert seen.type == "decimal.Decimal"
    if number.is_nan():
        assert seen.items[0].value.lstrip("-").lower() in {"nan", "snan"}
    else:
        assert decimal.Decimal(seen.items[0].value).compare_total(number) == 0


def test_uuid() -> None:
    for value in (uuid.uuid4(), uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)):
        seen = decode(_native.encode_value(value))
        assert (seen.type, seen.items[0].value) == ("uuid.UUID", str(value))


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(
        timezones=st.one_of(
            st.none(),
            st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(
                lambda d: dt.timezone(dt.timedelta(seconds=int(d.total_seconds())))
            ),
        )
    )
)
def test_datetimes_are_iso(moment: dt.datetime) -> None:
    assert decode(_native.encode_value(moment)).value == moment.isoformat()
    assert decode(_native.encode_value(moment.date())).value == moment.date().isoformat()
    assert decode(_native.encode_value(moment.timetz())).value == moment.timetz().isoformat()


def test_time_of_another_zone_and_durations() -> None:
    class Zone(dt.tzinfo):
        def utcoffset(self, moment: Any) -> dt.timedelta:
            raise AssertionError("was run")

    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=Zone())
    assert decode(_native.encode_value(moment)).value == "2026-01-02T03:04:05[Zone]"
    assert decode(_native.encode_value(dt.timedelta(-1, 5, 7))).value == "-1,5,7"


def test_exceptions_with_their_cause_and_notes() -> None:
    class Failed(Exception):
        pass

    error = Failed("no", 3)
    error.code = 7  # type: ignore[attr-defined]
    error.add_note("look here")
    error.__cause__ = KeyError("k")
    seen = decode(_native.encode_value(error))
    assert seen.type.endswith("Failed")
    assert [item.value for item in seen.items[0].items] == ["no", 3]
    assert seen.attributes["code"].value == 7
    assert seen.attributes["__notes__"].items[0].value == "look here"
    assert seen.attributes["__cause__"].type == "KeyError"


@pytest.mark.parametrize("room", range(80, 400, 7))
def test_exceptions_in_small_rooms(room: int) -> None:
    error = ValueError("x" * 500, {"k": [1] * 50})
    error.__context__ = OSError(2, "No such file", "name")
    error.detail = "d" * 300  # type: ignore[attr-defined]
    data = _native.encode_value(error, room=room)
    assert len(data) <= room
    assert decode(data).tag == "EXCEPTION"


@pytest.mark.parametrize("room", range(80, 400, 7))
def test_objects_in_small_rooms(room: int) -> None:
    data = _native.encode_value([Both(), Plain(), Frozen("x" * 100, 5), uuid.uuid4()], room=room)
    assert len(data) <= room
    decode(data)


async def _coroutine() -> None: ...


async def _async_generator() -> Any:
    yield


def test_what_is_only_named() -> None:
    coroutine = _coroutine()
    named = [
        (test_what_is_only_named, 1, f"{__name__}.test_what_is_only_named"),
        (Plain, 2, f"{__name__}.Plain"),
        (int, 2, "int"),
        (sys, 3, "sys"),
        (len, 4, "len"),
        ([].append, 4, "append"),
        (str.upper, 4, "upper"),
        (Plain().__init__, 5, f"{__name__}.Plain.__init__"),
        (Plain.__init__.__code__, 6, "Plain.__init__"),
        ((i for i in ()), 7, "test_what_is_only_named.<locals>.<genexpr>"),
        (coroutine, 8, "_coroutine"),
        (_async_generator(), 9, "_async_generator"),
    ]
    for value, what, name in named:
        seen = decode(_native.encode_value(value))
        assert (seen.tag, seen.value, seen.type) == ("NAMED", what, name)
    coroutine.close()


def test_partial_shows_its_parts() -> None:
    shown = attributes(functools.partial(len, [1]))
    assert shown["func"].type == "len"


def test_pydantic_model() -> None:
    pydantic = pytest.importorskip("pydantic")
    Order = pydantic.create_model("Order", sku=(str, ...), password=(str, ...), key=(pydantic.SecretStr, ...))
    seen = decode(_native.encode_value(Order(sku="A-1", password="hunter2", key="hidden")))
    assert seen.attributes["sku"].value == "A-1"
    assert seen.attributes["password"].tag == "REDACTED"
    assert seen.attributes["key"].reason == 6
    assert not seen.attributes["key"].attributes


def test_float_bits_survive() -> None:
    for number in (0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324):
        assert repr(decode(_native.encode_value(number)).value) == repr(number)


def test_room_is_checked() -> None:
    for room in (0, 79, (1 << 20) + 1):
        with pytest.raises(ValueError, match="room"):
            _native.encode_value(1, room=room)


# -- fingerprints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: [1, 2, 3], lambda v: v.append(4)),
        (lambda: [1, 2, 3], lambda v: v.__setitem__(1, "x")),
        (lambda: [3, 1, 2], lambda v: v.sort()),
        (lambda: list(range(100)), lambda v: v.reverse()),
        (lambda: {"a": 1}, lambda v: v.__setitem__("a", 2)),
        (lambda: {"a": 1, "b": 2}, lambda v: v.pop("a")),
        (lambda: {1, 2}, lambda v: v.add(3)),
        (lambda: {1, 2}, lambda v: v.clear()),
        (lambda: bytearray(b"abc"), lambda v: v.__setitem__(1, 0)),
    ],
)
def test_fingerprint_sees_a_change_in_place(make: Any, change: Any) -> None:
    value = make()
    before = _native.fingerprint(value)
    assert before == _native.fingerprint(value) != 0
    change(value)
    assert _native.fingerprint(value) != before


def test_fingerprint_of_what_cannot_change() -> None:
    assert [_native.fingerprint(v) for v in (1, "x", (1,), None, frozenset(), Plain())] == [0] * 6
