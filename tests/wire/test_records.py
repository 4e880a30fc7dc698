"""Every kind of record, with values of every kind: written and read back; cut, flipped, foreign bytes are refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aftertrace import _native
from aftertrace.errors import BadRecording
from aftertrace.model import Missing, Value, ValueKind
from aftertrace.wire import records, values
from aftertrace.wire.kinds import Kind, Record

NUMBERS = st.integers(0, 2**64 - 1)
SMALL = st.integers(0, 2**16)
BYTES = st.integers(0, 255)
TEXT = st.text(max_size=20)
TRACE_IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
SPAN_IDS = st.binary(min_size=8, max_size=8).map(bytes.hex)
PARENT_IDS = st.one_of(st.just(""), SPAN_IDS.filter(lambda one: one != "0" * 16))
REASONS = st.sampled_from(Missing)

# -- values


def _scalar(kind: str) -> Any:
    return lambda v: Value(ValueKind.SCALAR, kind, v)


def _sized(kind: str) -> Any:
    return lambda v: Value(ValueKind.SCALAR, kind, v, size=len(v))


LEAVES = st.one_of(
    st.just(values.UNBOUND),
    st.none().map(_scalar("NoneType")),
    st.booleans().map(_scalar("bool")),
    st.sampled_from(["ellipsis", "NotImplementedType"]).map(lambda kind: Value(ValueKind.SCALAR, kind)),
    st.integers(-(2**63), 2**63 - 1).map(_scalar("int")),
    st.floats(allow_nan=False).map(_scalar("float")),
    st.complex_numbers(allow_nan=False).map(_scalar("complex")),
    st.text().map(_sized("str")),
    st.binary().map(_sized("bytes")),
    REASONS.map(lambda reason: Value(ValueKind.REDACTED, "", missing=reason)),
    st.builds(lambda reason, kind: Value(ValueKind.MISSING, kind, missing=reason), REASONS, TEXT),
)


def _sequence(kind: str, items: list[Value], more: int, identity: int) -> Value:
    missing = Missing.COLLECTION_SIZE if more else None
    return Value(
        ValueKind.SEQUENCE, kind, items=tuple(items), size=len(items) + more, identity=identity, missing=missing
    )


def _mapping(entries: list[tuple[Value, Value]], identity: int) -> Value:
    return Value(ValueKind.MAPPING, "dict", entries=tuple(entries), size=len(entries), identity=identity)


def _object(kind: str, fields: list[tuple[str, Value]], identity: int) -> Value:
    return Value(ValueKind.OBJECT, kind, attributes=tuple(fields), identity=identity)


def _nested(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    kinds = st.sampled_from(["list", "tuple", "set", "frozenset"])
    fields = st.lists(st.tuples(TEXT, inner), max_size=3)
    return st.one_of(
        st.builds(_sequence, kinds, st.lists(inner, max_size=4), st.sampled_from([0, 7]), NUMBERS),
        st.builds(_mapping, st.lists(st.tuples(LEAVES, inner), max_size=3), NUMBERS),
        st.builds(_object, TEXT, fields, NUMBERS),
    )


VALUES = st.recursive(LEAVES, _nested, max_leaves=8)
SLOTS = st.lists(st.tuples(SMALL, VALUES), max_size=4).map(tuple)
ATTRS = st.lists(st.tuples(TEXT, VALUES), max_size=3).map(tuple)
LINKS = st.lists(st.tuples(TRACE_IDS, SPAN_IDS, ATTRS), max_size=2).map(tuple)

# -- records: fields behind ticks and offset, in the order of the classes

FIELDS: dict[type[Record], list[st.SearchStrategy[Any]]] = {
    records.FrameState: [NUMBERS, SMALL, NUMBERS, SMALL, SLOTS],
    records.Start: [NUMBERS, SMALL, NUMBERS, st.integers(-1, 2**20), SLOTS],
    records.Line: [NUMBERS, st.integers(-(2**31), 2**31 - 1), SLOTS],
    records.Return: [NUMBERS, SMALL, VALUES, SLOTS],
    records.Yield: [NUMBERS, SMALL, VALUES, SLOTS],
    records.Resume: [NUMBERS, NUMBERS],
    records.Throw: [NUMBERS, NUMBERS, NUMBERS, VALUES],
    records.Raise: [NUMBERS, SMALL, NUMBERS, VALUES],
    records.Reraise: [NUMBERS, SMALL, NUMBERS],
    records.Handled: [NUMBERS, SMALL, NUMBERS],
    records.Unwind: [NUMBERS, SMALL, NUMBERS, SLOTS],
    records.SpanStart: [
        SPAN_IDS, TRACE_IDS, PARENT_IDS, BYTES, BYTES, st.booleans(), NUMBERS, TEXT, TEXT, ATTRS, LINKS
    ],
    records.SpanAttr: [SPAN_IDS, ATTRS],
    records.SpanEventRecord: [SPAN_IDS, NUMBERS, TEXT, ATTRS],
    records.SpanLinkRecord: [SPAN_IDS, TRACE_IDS, SPAN_IDS, ATTRS],
    records.SpanStatus: [SPAN_IDS, BYTES, TEXT],
    records.SpanName: [SPAN_IDS, TEXT],
    records.SpanEnd: [SPAN_IDS, NUMBERS],
    records.Log: [SMALL, TEXT, VALUES, VALUES, TEXT, SMALL, TEXT, VALUES],
    records.KeepRecord: [TEXT, ATTRS],
    records.GapRecord: [BYTES, SMALL, TEXT],
}  # fmt: skip
UNSTAMPED = {Kind.FRAME, Kind.LINE, Kind.SPAN_ATTR, Kind.SPAN_LINK, Kind.SPAN_STATUS, Kind.SPAN_NAME}
SEGMENTS = st.one_of(
    st.builds(records.Segment, NUMBERS, st.just(0), st.sampled_from([0, 2, 4]), NUMBERS),
    st.builds(records.Segment, NUMBERS, st.just(0), st.sampled_from([1, 3, 5]), NUMBERS, TRACE_IDS, SPAN_IDS),
)
RECORDS = st.one_of(
    SEGMENTS,
    *(st.builds(kind, NUMBERS, st.just(0), *fields) for kind, fields in FIELDS.items()),
)


def test_every_kind_of_record_is_tried() -> None:
    assert {Kind.SEGMENT, *(kind.kind for kind in FIELDS)} == set(Kind)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
@given(data=st.data(), last=NUMBERS)
def test_a_record_reads_as_it_was_written(kind: type[Record], data: Any, last: int) -> None:
    ticks = last if kind.kind in UNSTAMPED else last + data.draw(SMALL)
    record = kind(ticks, 0, *(data.draw(field) for field in FIELDS[kind]))
    written = records.encode(record, last)
    assert list(records.decode(written, base_ticks=last)) == [record]
    found = _native.survey(written)  # the agent's reader in C walks it, too
    assert all((start, end) == (3, len(written)) for _, start, end, _ in found)


@given(st.lists(RECORDS, max_size=6), NUMBERS)
def test_records_behind_one_another(some: list[Record], base: int) -> None:
    data, ticks, expected = b"", base, []
    for record in some:
        now = record.ticks if isinstance(record, records.Segment) else ticks
        written = records.encode(_at(record, now, len(data)), ticks)
        expected.append(_at(record, now, len(data)))
        data += written
        ticks = now
    assert list(records.decode(data, base_ticks=base)) == expected


def _at(record: Record, ticks: int, offset: int) -> Record:
    fields = [getattr(record, name) for name in record.__dataclass_fields__ if name not in {"ticks", "offset", "kind"}]
    return type(record)(ticks, offset, *fields)


@given(RECORDS, st.data())
def test_a_record_that_is_cut_is_refused(record: Record, data: Any) -> None:
    written = records.encode(record, 0)
    end = data.draw(st.integers(1, len(written) - 1))
    with pytest.raises(BadRecording):
        list(records.decode(written[:end], base_ticks=0))
    assert _native.survey(written[:end]) == []


@given(RECORDS, st.data())
def test_a_body_that_is_cut_is_refused_or_is_another_record(record: Record, data: Any) -> None:
    """The frame says that it is whole, what is in it is not."""
    written = records.encode(record, 0)
    length = data.draw(st.integers(0, len(written) - 4)) if len(written) > 4 else 0
    framed = written[:1] + struct.pack("<H", length) + written[3 : 3 + length]
    with suppress(BadRecording):
        for found in records.decode(framed, base_ticks=0):
            assert found.kind == record.kind
            assert records.encode(found, 0)


@given(RECORDS, st.data())
def test_any_flipped_bit_gives_records_or_a_refusal(record: Record, data: Any) -> None:
    written = bytearray(records.encode(record, 0))
    written[data.draw(st.integers(0, len(written) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    _native.survey(bytes(written))
    with suppress(BadRecording):  # any other exception fails the test
        list(records.decode(bytes(written), base_ticks=0))


@given(VALUES)
def test_a_value_reads_as_it_was_written_and_as_json(value: Value) -> None:
    data = values.encode(value)
    assert values.decode(data) == (value, len(data))
    assert values.from_json(values.to_json(value)) == value


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=5),
            st.tuples(inner, inner),
            st.dictionaries(st.text(max_size=8), inner, max_size=5),
            st.frozensets(st.integers(), max_size=5),
        ),
        max_leaves=20,
    ),
    st.integers(80, 5000),
)
@example({"": None, "0": [[], [], frozenset({-(1 << 88), -1})]}, 113)
def test_what_the_recorder_writes_is_read_whole_in_any_room(value: object, room: int) -> None:
    data = _native.encode_value(value, depth=6, room=room)
    assert len(data) <= room
    read, end = values.decode(data)
    assert end == len(data)
    assert values.encode(read) == data
    assert values.from_json(values.to_json(read)) == read or "nan" in repr(value)


def test_an_unknown_kind_is_passed_over() -> None:
    foreign = struct.pack("<BH", 99, 4) + b"next"
    known = records.encode(records.SpanEnd(0, 0, "ab" * 8, 5), 0)
    (found,) = records.decode(foreign + known, base_ticks=0)
    assert found == records.SpanEnd(0, len(foreign), "ab" * 8, 5)
