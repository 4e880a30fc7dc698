"""The memory of minutes: bounded, first in first out, found by trace; slices put together as the ring had them."""

import os

from aftertrace import _native
from aftertrace.agent import memory as memories
from aftertrace.agent import walk
from aftertrace.agent.memory import BLOCK_BYTES, Memory
from aftertrace.agent.parked import Entry
from aftertrace.agent.part import coalesce
from aftertrace.wire import records
from aftertrace.wire.kinds import Segment, SpanEnd, SpanStart


def test_what_is_added_is_found_again_in_order():
    memory = Memory(64 << 20, lambda _: None)
    wanted = {bytes([n]) * 16: [] for n in (1, 2)}
    for n in range(20_000):
        trace = bytes([n % 50]) * 16
        entry = Entry(n % 3, n, n % 7 == 0, os.urandom(20) * 10)
        memory.add(entry.process, entry.position, trace, entry.records, fragment=entry.fragment)
        if trace in wanted:
            wanted[trace].append(entry)
    assert memory.state()["blocks"] > 3
    found = memory.collect(dict.fromkeys(wanted, 0))
    assert {trace: list(entries) for trace, entries in found.items()} == wanted
    newest = memory.collect(dict.fromkeys(wanted, memory.newest))
    for trace, entries in newest.items():
        assert list(entries) == wanted[trace][-len(entries) :]
        assert 0 < len(entries) < len(wanted[trace])


def test_the_oldest_goes_first_and_the_bound_holds():
    gone = []
    memory = Memory(8 * BLOCK_BYTES, gone.append)
    memory.add(1, 0, bytes(16), b"first")
    for n in range(30_000):
        memory.add(2, n, n.to_bytes(16, "little"), os.urandom(1000))
        assert memory.state()["bytes"] <= 8 * BLOCK_BYTES + 300 * 1100
    assert not memory.collect({bytes(16): 0})[bytes(16)]
    assert gone == [1]
    assert not memory.holds(1)
    assert memory.holds(2)
    newest = (29_999).to_bytes(16, "little")
    assert len(memory.collect({newest: 0})[newest]) == 1
    assert 5000 < memory.state()["traces"] < 9000


def test_of_a_vast_trace_the_newest_leaves(monkeypatch):
    monkeypatch.setattr(memories, "MOST_OF_A_TRACE", 50_000)
    memory = Memory(64 << 20, lambda _: None)
    for n in range(3000):
        memory.add(1, n, bytes(16), bytes(1000))
    assert [entry.position for entry in memory.collect({bytes(16): 0})[bytes(16)]] == list(range(2950, 3000))


def test_a_block_compresses():
    memory = Memory(64 << 20, lambda _: None)
    for n in range(20_000):
        memory.add(1, n, bytes([n % 50]) * 16, b"the same words over and over " * 10)
    assert memory.state()["bytes"] < BLOCK_BYTES + (1 << 20)


TRACE = b"\xab" * 16


def _slice():
    """A SEGMENT, then a span that starts and ends."""
    first = records.encode(Segment(1000, 0, 1, 7, TRACE.hex(), "cd" * 8), 0)
    start = records.encode(SpanStart(1500, 0, "11" * 8, TRACE.hex(), "", 2, 1, False, 0, "x"), 1000)
    end = records.encode(SpanEnd(1700, 0, "11" * 8), 1500)
    return first, start, end


def test_slices_that_polls_cut_are_put_together_again():
    first, start, end = _slice()
    again = records.encode(Segment(1500, 0, 1 | walk.CONTINUED, 7, TRACE.hex(), "cd" * 8), 0)
    cut = [Entry(1, 48, False, first + start), Entry(1, 48 + len(first + start), False, again + end)]
    other = Entry(1, 5000, False, first)
    (whole, last) = coalesce([*cut, other])
    assert (whole.position, whole.records) == (48, first + start + end)
    assert (last.position, last.records) == (5000, first)
    gap = Entry(1, 48 + len(first + start) + 1, False, again + end)
    assert len(list(coalesce([cut[0], gap]))) == 2


def test_a_walk_gives_bounds_and_ticks():
    first, start, end = _slice()
    data = first + start + end
    found = list(walk.walk(data))
    assert [(kind, before, after) for kind, _, _, before, after in found] == [
        (1, 0, 1000),
        (13, 1000, 1500),
        (19, 1500, 1700),
    ]
    assert b"".join(data[at:behind] for _, at, behind, _, _ in found) == data
    assert _native.survey(data) == [
        (13, len(first) + 3, len(first + start), 1000),
        (19, len(first + start) + 3, len(data), 1500),
    ]
    for cut in range(len(data)):
        list(walk.walk(data[:cut]))
        assert _native.survey(data[:cut]) == _native.survey(data)[: len(_native.survey(data[:cut]))]


def test_a_fragment_is_a_slice_that_decodes_alone():
    first, start, _ = _slice()
    piece = walk.fragment(TRACE, 1000, start)
    segment, span = records.decode(piece, base_ticks=0)
    assert (segment.trace_id, span.ticks, span.name) == (TRACE.hex(), 1500, "x")
    assert walk.is_continued(piece)
    assert walk.position_of(77, first + start, len(first)) == 77 + len(first)
