"""A bundle gives back the trace that went in, types included; broken ones give a clear error."""

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import BadRecording, UnknownVersion
from aftertrace.model import Keep, LogRecord, Resource, Span, SpanEvent, SpanKind, SpanLink, StatusCode
from aftertrace.wire import zstd
from aftertrace.wire.attributes import dumps, loads
from aftertrace.wire.bundle import TraceData, dump, load

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["$bytes", "$map", "$float"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(left: object, right: object) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


@given(st.dictionaries(st.text(), values, max_size=4))
def test_attributes_come_back_with_their_types(attributes):
    assert same(loads(dumps(attributes)), attributes)


def test_floats_that_json_has_no_word_for():
    back = loads(dumps({"nan": float("nan"), "inf": float("inf"), "minus": float("-inf"), "one": 1.0, "int": 1}))
    assert math.isnan(back["nan"])
    assert (back["inf"], back["minus"]) == (math.inf, -math.inf)
    assert isinstance(back["one"], float)
    assert isinstance(back["int"], int)


def trace() -> TraceData:
    shop = Resource({"service.name": "orders", "process.pid": 7})
    first = Span(
        trace_id="ab" * 16,
        span_id="cd" * 8,
        parent_id="",
        name="GET /",
        kind=SpanKind.SERVER,
        start_ns=1,
        end_ns=5,
        resource=shop,
        status=StatusCode.ERROR,
        status_message="no",
        attributes={"a": [1, 2.0, b"\xff"], "$x": {"y": None}},
        events=(SpanEvent(3, "exception", {"exception.type": "KeyError"}),),
        links=(SpanLink("ef" * 16, "01" * 8, {"k": True}),),
        scope="s",
        trace_state="a=b",
        flags=257,
    )
    log = LogRecord(
        2, 17, {"m": b"x"}, Resource({"service.name": "worker"}), "ab" * 16, "cd" * 8, "", {"n": 2**62}, "l"
    )
    keep = Keep("ab" * 16, "server-error", "500", "orders", "11" * 16, 4, {"code": 500})
    return TraceData(
        "ab" * 16, [first], [log], [b"ATREC\xff\x00"], {"00" * 32: "x = 1\n"}, [keep], ["a piece is missing"]
    )


def test_a_bundle_gives_back_the_trace():
    assert load(dump(trace())) == trace()


def test_every_truncation_is_a_clear_error():
    whole = dump(trace())
    for cut in range(len(whole)):
        with pytest.raises(BadRecording) as caught:
            load(whole[:cut])
        assert caught.value.slug == "bad-bundle"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_never_escapes_as_something_else(position, flip):
    whole = bytearray(dump(trace()))
    whole[position % len(whole)] ^= flip
    with contextlib.suppress(BadRecording):
        load(bytes(whole))


@pytest.mark.parametrize(
    "content", [[], {}, {"format": "aftertrace.bundle", "version": 1}, {"format": "x", "version": 1}, 3]
)
def test_json_that_is_no_bundle(content):
    with pytest.raises(BadRecording, match="not a whole bundle"):
        load(zstd.compress(json.dumps(content).encode()))


def test_another_version_is_named():
    with pytest.raises(UnknownVersion, match="version 2"):
        load(zstd.compress(json.dumps({"format": "aftertrace.bundle", "version": 2}).encode()))


def test_zstd_is_bounded():
    bomb = zstd.compress(bytes(10_000_000))
    with pytest.raises(OverflowError):
        zstd.decompress(bomb, 1000)
    assert zstd.decompress(zstd.compress(b"a") + zstd.compress(b"b"), 2) == b"ab"
    with pytest.raises(ValueError, match="ends early"):
        zstd.decompress(b"", 10)
