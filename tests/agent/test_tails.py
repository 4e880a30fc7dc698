"""Rings in one agent are independent of each other."""

import os

import pytest

from aftertrace import _native
from aftertrace.agent.tails import Tails
from aftertrace.agent.tell import Counts, Teller
from aftertrace.wire.handover import Ring


def ring_of_a_request(uid):
    """A copy of a ring that the real recorder wrote: one request that failed."""
    _native.start(0, ring_bytes=1 << 20, defs_bytes=1 << 18, roots=[], libraries=[])
    span = _native.Span("GET /", 2, None)
    span.set_status(2, "no")
    span.end()
    content = bytearray(os.pread(_native.ring_fd(), 1 << 22, 0))
    _native.close()
    content[32:48] = uid
    descriptor = os.memfd_create("copy")
    os.write(descriptor, content)
    return descriptor


def offered(tails, uid):
    descriptor = ring_of_a_request(uid)
    process = tails.offer(Ring(uid.hex(), os.getpid(), f"service-{uid[0]}", "spans"), descriptor, 0)
    os.close(descriptor)
    return process


def test_a_ring_that_makes_us_stumble_is_given_up_and_told_once(monkeypatch, caplog):
    tails = Tails(64 << 20, Counts(), Teller(), lambda _: None)
    bad, good = offered(tails, b"\x01" * 16), offered(tails, b"\x02" * 16)

    def stumble(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(bad.watch, "take", stumble)
    tails.poll()
    tails.poll()
    assert caplog.text.count("service-1 is not read any more") == 1
    assert (bad.spoilt, good.spoilt) == (True, False)
    (job,) = tails.keeper.jobs(everything=True)
    assert [process.uid for process, _ in job.triggers] == [good.uid]
    tails.end(bad)
    tails.end(good)
    assert tails.alive == {}


def test_a_process_is_forgotten_when_nothing_of_it_is_held():
    tails = Tails(4 << 20, Counts(), Teller(), lambda _: None)
    process = offered(tails, b"\x03" * 16)
    tails.poll()
    tails.end(process)
    assert process.number in tails.processes
    for n in range(20_000):
        tails.memory.add(99, n, os.urandom(16), os.urandom(1000))
    assert tails.processes == {}


def test_a_ring_that_is_another_process_s_is_refused():
    tails = Tails(64 << 20, Counts(), Teller(), lambda _: None)
    descriptor = ring_of_a_request(b"\x04" * 16)
    with pytest.raises(ValueError, match="another process"):
        tails.offer(Ring("05" * 16, os.getpid(), "x", "spans"), descriptor, 0)
    os.close(descriptor)
    assert tails.processes == tails.alive == {}
