"""Slices of a real ring, damaged at random, on their way through the agent: less comes out, and no whole secret."""

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aftertrace import _native
from aftertrace.agent import walk
from aftertrace.agent.part import _clean
from aftertrace.agent.spans import Spans
from aftertrace.agent.watch import Watch
from aftertrace.wire import records as wire
from aftertrace.wire.recording import Clocks

PROGRAM = """
def pay(card, mail):
    order = {"card": card, "who": [mail], "n": 5}
    raise ValueError("no " + mail)
def serve(span):
    try:
        pay("4111111111111111", "ann@example.org")
    except ValueError as error:
        span.record_exception(error)
        return str(error)
"""
CHILD = """
import os, runpy, sys
from pathlib import Path
from aftertrace import _native
program, ring = sys.argv[1:]
_native.start(2, ring_bytes=1 << 17, defs_bytes=1 << 16, roots=[str(Path(program).parent) + "/"], libraries=[])
serve = runpy.run_path(program)["serve"]
for n in range(3):
    with _native.Span("POST", 2, None, {"to": "ann@example.org"}) as span:
        token = _native.attach(span)
        serve(span)
        _native.log(17, "pay", "to %s", ("ann@example.org",), "f", 1, "g", None)
        span.set_status(2, "no ann@example.org")
        _native.keep("ann@example.org")
        _native.detach(token)
Path(ring).write_bytes(os.pread(_native.ring_fd(), 1 << 20, 0))
"""
SECRETS = (b"4111111111111111", b"ann@example.org")


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ring")
    program, ring = directory / "app" / "program.py", directory / "ring"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    subprocess.run([sys.executable, "-P", "-c", CHILD, str(program), str(ring)], check=True, timeout=60)
    descriptor = os.open(ring, os.O_RDONLY)
    reader = _native.Reader(descriptor)
    os.close(descriptor)
    found = [(position, trace, records) for position, trace, _, records in reader.poll()]
    reader.close()
    assert sum(secret in records for _, _, records in found for secret in SECRETS) >= 3
    return found


def damaged(draw, records):
    data = bytearray(records)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@pytest.mark.parametrize("value", [0x01, 0x80])
def test_no_single_byte_lets_a_secret_out(slices, value):
    """A record that becomes a SEGMENT, a count or length that moves all that follows, at each place."""
    records = next(records for _, trace, records in slices if trace and all(secret in records for secret in SECRETS))
    for at in range(len(records)):
        spoilt = records[:at] + bytes([value]) + records[at + 1 :]
        clean = _clean(spoilt, set())
        whole = {secret for secret in SECRETS if secret in spoilt}
        assert not {secret for secret in whole if secret in clean}, at


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_damage_lets_a_secret_out_or_stops_the_agent(slices, data):
    position, trace, records = data.draw(st.sampled_from(slices))
    records = damaged(data.draw, records)
    clean = _clean(records, set())
    walked = max((end for _, _, end, _, _ in walk.walk(records)), default=0)
    assert len(clean) <= walked + 64 * len(records)
    spoilt = {bytes(secret) for secret in SECRETS if secret not in records[:walked]}
    for secret in set(SECRETS) - spoilt:
        assert secret not in clean
    found = _native.survey(records)
    Watch().take(position, trace, records, found)
    spans = Spans(trace.hex() if trace else "")
    spans.take([records], Clocks([]))
    spans.ready(whole=True)


def test_undamaged_nothing_is_lost(slices):
    for _, _, records in slices:
        clean = _clean(records, set())
        kinds = [[record.kind for record in wire.decode(data, base_ticks=0)] for data in (records, clean)]
        assert kinds[0] == kinds[1]
        assert not any(secret in clean for secret in SECRETS)
