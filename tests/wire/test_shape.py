"""What an export without values holds: structure, sizes, marks of equality, and nothing that was the program's data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given

from aftertrace.errors import BadRecording
from aftertrace.model import Keep, LogRecord, Missing, Resource, Span, SpanEvent, SpanKind, Value, ValueKind
from aftertrace.wire import bundle, recording, records, values
from aftertrace.wire.bundle import TraceData
from aftertrace.wire.recording import Meta, Recording, Slice
from aftertrace.wire.shape import Shaper

from .test_records import VALUES

SECRET = "4111-planted-secret"
NAMES = ("NoneType", "ellipsis", "NotImplementedType")


def leaves(value: Value) -> Iterator[Value]:
    inner = [*value.items, *(one for pair in value.entries for one in pair), *(one for _, one in value.attributes)]
    yield value
    for one in inner:
        yield from leaves(one)


@given(VALUES)
def test_a_shape_has_the_structure_and_none_of_the_data(value: Value) -> None:
    shaped = Shaper().value(value)
    before, after = list(leaves(value)), list(leaves(shaped))
    kept = (ValueKind.NAMED, ValueKind.SCALAR)
    if not any(one.kind is ValueKind.RANGE for one in before):
        assert len(before) == len(after)
    for one in after:
        assert one.kind not in kept or one.type in NAMES or one.kind is ValueKind.NAMED
        assert one.kind not in {ValueKind.RANGE, ValueKind.TEMPORAL}
    assert values.decode(values.encode(shaped))[0] == shaped
    assert values.from_json(values.to_json(shaped)) == shaped


def test_equal_values_are_seen_to_be_equal_within_a_file_only() -> None:
    one, same, other = (Value(ValueKind.SCALAR, "str", text, size=len(text)) for text in ("CH", "CH", "DE"))
    shaper = Shaper()
    assert shaper.value(one) == shaper.value(same) != shaper.value(other)
    assert shaper.value(one).type.startswith("str 2 #")
    assert shaper.value(one).missing is Missing.SHAPE
    assert Shaper().value(one) != Shaper().value(one)
    assert shaper.value(Value(ValueKind.SCALAR, "int", 2)).type != shaper.value(Value(ValueKind.SCALAR, "int", 3)).type


def text(said: str) -> Value:
    return Value(ValueKind.SCALAR, "str", said, size=len(said))


def every_record() -> list[records.Record]:
    """One of each kind that can hold data, all of it secret."""
    secret, trace, span = text(SECRET), "ab" * 16, "cd" * 8
    slots, attributes = ((0, secret),), (("user.name", secret),)
    return [
        records.Segment(5, 0, 1, 7, trace, span),
        records.Start(6, 0, 1, 1, 0, -1, slots),
        records.FrameState(6, 0, 1, 1, 0, 3, slots),
        records.Line(6, 0, 1, 2, slots),
        records.Yield(7, 0, 1, 3, secret, slots),
        records.Raise(8, 0, 1, 3, 9, Value(ValueKind.EXCEPTION, "KeyError", items=(secret,), size=1)),
        records.Throw(8, 0, 1, 0, 9, Value(ValueKind.EXCEPTION, "KeyError", items=(secret,), size=1)),
        records.Unwind(9, 0, 1, 3, 9, slots),
        records.Return(9, 0, 1, 3, secret, slots),
        records.SpanStart(
            9, 0, span, trace, "0" * 16, 2, 1, remote=False, start_ns=0, name="GET /", attributes=attributes
        ),
        records.SpanAttr(9, 0, span, attributes),
        records.SpanEventRecord(9, 0, span, 0, "exception", attributes),
        records.SpanLinkRecord(9, 0, span, trace, span, attributes),
        records.SpanStatus(9, 0, span, 2, SECRET),
        records.Log(9, 0, 17, "shop", secret, secret, "a.py", 3, "f", secret),
        records.KeepRecord(9, 0, SECRET, attributes),
        records.SpanEnd(9, 0, span, 0),
    ]


def trace_with(slices: list[Slice]) -> TraceData:
    resource = Resource({"service.name": "orders", "service.version": "2.1", "host.name": SECRET})
    meta = Meta("ab" * 16, "11" * 16, 5, "orders", dict(resource.attributes))
    event = SpanEvent(1, "exception", {"exception.type": "KeyError", "exception.message": SECRET})
    attributes: dict[str, Any] = {
        "http.route": "/x",
        "user.id": SECRET,
        "many": [SECRET, 5, b"x", None, {SECRET: True}],
    }
    span = Span("ab" * 16, "cd" * 8, "", "GET /x", SpanKind.SERVER, 1, 2, resource, status_message=SECRET,
                attributes=attributes, events=(event,), trace_state=f"a={SECRET}")  # fmt: skip
    log = LogRecord(1, 17, {"said": SECRET}, resource, "ab" * 16, "", "", {"k": SECRET})
    keep = Keep("ab" * 16, "server-error", f"KeyError: {SECRET}", "orders", "11" * 16, 1, {"k": SECRET})
    asked = Keep("ab" * 16, "keep", SECRET, "orders", "11" * 16, 1, title=SECRET)
    whole = recording.write(Recording(meta, slices=slices))
    return TraceData("ab" * 16, [span], [log], [whole], {}, [keep, asked])


def test_nothing_of_what_was_recorded_is_in_the_file() -> None:
    written, last = b"", 0
    for record in every_record():
        written += records.encode(record, last)
        last = record.ticks
    given = trace_with([Slice(3, written)])
    assert SECRET.encode() in given.recordings[0]
    shaped = Shaper().trace(given)
    assert SECRET not in repr(shaped)
    assert SECRET.encode() not in shaped.recordings[0]
    loaded = bundle.load(bundle.dump(shaped))
    span = loaded.spans[0]
    assert span.attributes["http.route"] == "/x"
    assert str(span.attributes["user.id"]).startswith(f"str {len(SECRET)} #")
    assert span.resource.attributes["service.version"] == "2.1"
    assert span.events[0].attributes["exception.type"] == "KeyError"
    assert loaded.keeps[0].reason.startswith("KeyError: str ")
    found = recording.read(loaded.recordings[0])
    assert found.problems == []
    again = list(records.decode(found.slices[0].records, base_ticks=0))
    assert [type(one) for one in again] == [type(one) for one in every_record()]
    for before, after in zip(every_record(), again, strict=True):
        for one in fields(before):
            if isinstance(getattr(before, one.name), int) and one.name != "offset":
                assert getattr(before, one.name) == getattr(after, one.name)


def test_a_recording_that_cannot_be_cleaned_is_not_exported() -> None:
    with pytest.raises(BadRecording):
        Shaper().trace(trace_with([Slice(3, b"\x01\xff\xff" + SECRET.encode())]))
