"""A recording that was cut or changed gives an error or less of itself, never a crash and never another content."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace.errors import BadRecording, UnknownVersion
from aftertrace.model import Value, ValueKind
from aftertrace.wire import recording, records, values
from aftertrace.wire.definitions import CodeDefinition, Definitions
from aftertrace.wire.recording import Clocks, Meta, Recording, Sample, Slice

SCALARS = st.one_of(
    st.none().map(lambda v: Value(ValueKind.SCALAR, "NoneType", v)),
    st.booleans().map(lambda v: Value(ValueKind.SCALAR, "bool", v)),
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda v: Value(ValueKind.SCALAR, "int", v)),
    st.floats(allow_nan=False).map(lambda v: Value(ValueKind.SCALAR, "float", v)),
    st.text().map(lambda v: Value(ValueKind.SCALAR, "str", v, size=len(v))),
    st.binary().map(lambda v: Value(ValueKind.SCALAR, "bytes", v, size=len(v))),
)


def _sequence(items: list[Value]) -> Value:
    return Value(ValueKind.SEQUENCE, "list", items=tuple(items), size=len(items), identity=7)


def _mapping(entries: list[tuple[Value, Value]]) -> Value:
    return Value(ValueKind.MAPPING, "dict", entries=tuple(entries), size=len(entries), identity=9)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(_sequence), st.lists(st.tuples(SCALARS, inner), max_size=4).map(_mapping)
    ),
    max_leaves=12,
)


def _small() -> Recording:
    text = Value(ValueKind.SCALAR, "str", "CH-", size=3)
    first = records.encode(records.Segment(1000, 0, 1, 77, "ab" * 16, "cd" * 8), 0)
    first += records.encode(records.Start(1010, 0, 1, 1, 0, -1, ((0, text),)), 1000)
    first += records.encode(records.Line(1010, 0, 1, 2, ()), 1010)
    second = records.encode(records.Segment(2000, 0, 1, 77, "ab" * 16, "cd" * 8), 0)
    second += records.encode(records.Return(2010, 0, 1, 4, text, ()), 2000)
    code = CodeDefinition(1, 1, "f", "f", 10, 3, 1, 0, 0, (("region", 9),), b"\x80\x00")
    return Recording(
        meta=Meta("ab" * 16, "11" * 16, 42, "orders", {"service.name": "orders"}, "3.13", "lines"),
        definitions=Definitions({1: "/app/place.py"}, {1: code}),
        clocks=Clocks([Sample(0, 1000, 5, 1_700_000_000_000_000_000, 1_000_000_000)]),
        slices=[Slice(48, first), Slice(48 + len(first), second)],
        losses=[(9000, 9100)],
        sources={"/app/place.py": "0" * 64},
    )


WHOLE = _small()
DATA = recording.write(WHOLE)


def _is_part(read: Recording) -> None:
    """What was read stands in the original, and what is missing is said."""
    assert read.meta == WHOLE.meta
    assert all(one in WHOLE.slices for one in read.slices)
    assert all(WHOLE.definitions.codes[key] == code for key, code in read.definitions.codes.items())
    assert set(read.clocks.samples) <= set(WHOLE.clocks.samples)
    assert all(loss in WHOLE.losses for loss in read.losses)
    assert read.sources in (WHOLE.sources, {})
    assert read.problems or read == WHOLE


def test_a_recording_reads_as_it_was_written() -> None:
    assert recording.read(DATA) == WHOLE


def test_cut_at_every_byte() -> None:
    for end in range(len(DATA)):
        try:
            read = recording.read(DATA[:end])
        except BadRecording:
            continue
        _is_part(read)
        assert read.problems, end


def test_every_bit_flipped() -> None:
    for at in range(len(DATA)):
        for bit in range(8):
            flipped = bytearray(DATA)
            flipped[at] ^= 1 << bit
            try:
                read = recording.read(bytes(flipped))
            except BadRecording:
                continue
            _is_part(read)
            assert read.problems, (at, bit)


def test_another_version_is_named() -> None:
    with pytest.raises(UnknownVersion):
        recording.read(DATA[:7] + b"\x09" + DATA[8:])


@given(VALUES)
def test_values_round_trip(value: Value) -> None:
    data = values.encode(value)
    assert values.decode(data) == (value, len(data))
    assert values.from_json(values.to_json(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for read in (
        lambda: list(records.decode(data, base_ticks=0)),
        lambda: values.decode(data),
        lambda: recording.read(data),
    ):
        with suppress(BadRecording):  # any other exception fails the test
            read()


@given(st.binary(min_size=1, max_size=60), st.integers(0, 22))
def test_any_body_in_a_whole_record(body: bytes, kind: int) -> None:
    framed = struct.pack("<BH", kind, len(body)) + body
    with suppress(BadRecording):  # any other exception fails the test
        list(records.decode(framed, base_ticks=0))


def test_nested_bomb_is_refused() -> None:
    with pytest.raises(BadRecording):
        values.decode(bytes([0x0D, 0, 1, 1, 0]) * 20_000)
