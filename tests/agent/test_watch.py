"""Triggers from the records of the real recorder, whichever trace's slice they stand in."""

import json
import subprocess
import sys

import pytest

from aftertrace import _native
from aftertrace.agent.spans import Spans
from aftertrace.agent.watch import Watch
from aftertrace.wire.recording import Clocks

# Runs a few lines under the recorder; prints the slices of its ring.
RECORD = """
import json, sys
from aftertrace import _native
_native.start(0, ring_bytes=1 << 20, defs_bytes=1 << 18, roots=[], libraries=[])
Span, HTTP = _native.Span, "http.response.status_code"
exec(sys.argv[1])
reader = _native.Reader(_native.ring_fd())
print(json.dumps([(p, t and t.hex(), r.hex()) for p, t, _, r in reader.poll()]))
_native.close()
"""


def slices(program):
    done = subprocess.run([sys.executable, "-P", "-c", RECORD, program], capture_output=True, check=True, text=True)
    return [(p, t and bytes.fromhex(t), bytes.fromhex(r)) for p, t, r in json.loads(done.stdout)]


def watch(program):
    watch, triggers, strays = Watch(), [], []
    for position, trace, records in slices(program):
        found = watch.take(position, trace, records, _native.survey(records))
        triggers += found[0]
        strays += found[1]
    return watch, triggers, strays


CASES = {
    "an error of a root with an exception": (
        "s = Span('a', 1, None); s.record_exception(ValueError('x')); s.set_status(2); s.end()",
        ["unhandled-exception"],
    ),
    "of a span whose parent is another process's": (
        "s = Span('a', 2, (5, 6, 1, '')); s.record_exception(ValueError('x')); s.set_status(2); s.end()",
        ["unhandled-exception"],
    ),
    "an exception that was recorded without an error": (
        "s = Span('a', 1, None); s.record_exception(ValueError('x')); s.end()",
        [],
    ),
    "an error status alone": ("s = Span('a', 2, None); s.set_status(2, 'no'); s.end()", ["error-status"]),
    "of an inner span": ("r = Span('r', 2, None); s = Span('a', 1, r); s.set_status(2); s.end(); r.end()", []),
    "of an inner consumer": (
        "r = Span('r', 1, None); s = Span('a', 5, r); s.set_status(2); s.end(); r.end()",
        ["error-status"],
    ),
    "an HTTP status": ("s = Span('a', 2, None); s.set_attribute(HTTP, 500); s.end()", ["server-error"]),
    "an HTTP status from the start": ("Span('a', 2, None, {HTTP: 599}).end()", ["server-error"]),
    "an old name of it": ("s = Span('a', 2, None, {'http.status_code': 502}); s.end()", ["server-error"]),
    "a client's": ("s = Span('a', 3, None); s.set_attribute(HTTP, 500); s.end()", []),
    "a 404": ("s = Span('a', 2, None); s.set_attribute(HTTP, 404); s.end()", []),
    "a status that is a text": ("s = Span('a', 2, None); s.set_attribute(HTTP, '500'); s.end()", []),
    "the key in a text": ("s = Span('a', 2, None); s.set_attribute('k', '\\x19' + HTTP); s.end()", []),
    "an ok after an error": ("s = Span('a', 2, None); s.set_status(2); s.set_status(1); s.end()", []),
    "keep in a trace": ("s = Span('a', 2, None); _native.attach(s); _native.keep('why')", ["keep"]),
    "keep outside": ("_native.keep('why')", []),
    "nothing ended": ("s = Span('a', 2, None); s.set_status(2)", []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_triggers(case):
    program, expected = CASES[case]
    _, triggers, _ = watch(program)
    assert [trigger.name for trigger in triggers] == expected


PROGRAM = """
one, two = Span('one', 2, None), Span('two', 2, None)
token = _native.attach(two)
one.set_attribute('k', 1)
one.add_event('e')
_native.detach(token)
one.update_name('first')
one.add_link(7, 8)
one.set_status(2, 'bad')
one.end()
"""


def test_records_that_stand_in_no_slice_of_their_trace_are_strays_and_make_the_span():
    watching, triggers, strays = watch(PROGRAM)
    (trigger,) = triggers
    mine = [stray for stray in strays if stray.trace == trigger.trace]
    assert [stray.position for stray in mine] == sorted(stray.position for stray in mine)
    spans = Spans(trigger.trace.hex())
    spans.take([stray.records for stray in mine], Clocks())
    ((span,), _) = spans.ready()
    assert spans.ready(whole=True) == ([], [])
    assert (span.name, span.attributes, span.status_message) == ("first", {"k": 1}, "bad")
    assert [event.name for event in span.events] == ["e"]
    assert [link.span_id for link in span.links] == [f"{8:016x}"]
    assert span.start_ns < span.events[0].time_ns < span.end_ns == trigger.ticks
    (still,) = watching.open.values()
    (death,) = watching.died("it died")
    assert (death.name, death.trace) == ("process-death", still.trace)


def test_any_change_of_a_byte_is_survived():
    held = slices(PROGRAM)
    for position, trace, records in held:
        for at in range(len(records)):
            for value in (0, 1, 0x7F, 0xFF):
                changed = records[:at] + bytes([value]) + records[at + 1 :]
                watching = Watch()
                _, strays = watching.take(position, trace, changed, _native.survey(changed))
                spans = Spans("ab" * 16)
                spans.take([changed, *(stray.records for stray in strays)], Clocks())
                spans.ready(whole=True)
