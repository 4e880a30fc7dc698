"""Producers' parts outlive memory; what a failing consumer was linked from is kept."""

import json
import os

from agent_parts import Agent, Child, wait_for

from aftertrace.agent.memory import BLOCK_BYTES, Memory
from aftertrace.agent.parked import MOST_OF_A_TRACE, Entry, Parked
from aftertrace.wire import records
from aftertrace.wire.kinds import Kind

ONE, OTHER = b"\x01" * 16, b"\x02" * 16


def started(kind, trace=ONE, span="aa" * 8):
    """A slice with the start of a span, and what scan gives of it."""
    return _slice(records.SpanStart(5, 0, span, trace.hex(), "", kind, 1, remote=False, start_ns=0, name="send"))


def ended(span="aa" * 8):
    return _slice(records.SpanEnd(9, 0, span_id=span, end_ns=0))


def _slice(record):
    data = records.encode(record, 0)
    return data, [(data[0], 3, len(data))]


def filled(memory, count=8 * BLOCK_BYTES // 1000):
    for n in range(count):
        memory.add(2, n, os.urandom(16), os.urandom(1000))


def test_a_producers_part_outlives_memory_and_holds_its_process():
    gone = []
    memory = Memory(4 * BLOCK_BYTES, gone.append)
    memory.parked.see(*started(4))
    memory.add(1, 0, ONE, b"sent")
    memory.add(1, 1, OTHER, b"other")
    filled(memory)
    assert ONE in memory
    assert OTHER not in memory
    assert [entry.records for entry in memory.collect({ONE: 0})[ONE]] == [b"sent"]
    assert memory.find(ONE.hex()) == [ONE]
    assert memory.holds(1)
    assert gone == []
    memory.add(1, 2, ONE, b"more")
    assert [entry.records for entry in memory.collect({ONE: 0})[ONE]] == [b"sent", b"more"]


def test_one_that_was_answered_is_not_parked():
    memory = Memory(4 * BLOCK_BYTES, lambda _: None)
    memory.parked.see(*started(4))
    memory.parked.see(*started(5, span="bb" * 8))
    memory.parked.see(*ended("bb" * 8))
    memory.add(1, 0, ONE, b"sent")
    filled(memory)
    assert ONE not in memory
    assert memory.departed.services(ONE) == {""}


def test_room_is_bounded_and_the_oldest_goes():
    held = []
    parked = Parked(held.append, held.remove, limit=3 * MOST_OF_A_TRACE)
    for n in range(10):
        assert parked.put(bytes([n]) * 16, Entry(n, 0, False, bytes(MOST_OF_A_TRACE - 1000)))
        assert not parked.put(bytes([n]) * 16, Entry(n, 1, False, bytes(2000)))
    assert held == [7, 8, 9]
    assert parked.bytes <= 3 * MOST_OF_A_TRACE
    assert len(parked) == 3


def test_hostile_records_are_passed_over():
    parked = Parked(lambda _: None, lambda _: None)
    for data in (b"", b"\xff" * 5, bytes(3)):
        parked.see(data, [(Kind.SPAN_START, 0, 3), (Kind.SPAN_END, 0, 3), (Kind.SPAN_START, 90, 3)])
    assert len(parked) == 0


def test_what_a_failing_consumer_was_linked_from_is_kept_in_another_agent_too(tmp_path, server):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    agents = [Agent(tmp_path / name, server.otlp) for name in ("one", "two")]
    sender, worker = (
        Child(tmp_path / "one", agents[0].socket, "shop"),
        Child(tmp_path / "two", agents[1].socket, "worker"),
    )
    try:
        wait_for(lambda: all(one.status()["fleet"]["state"] == "on" for one in agents))
        sent = [sender.tell("fine") for _ in range(3)]
        links = [[one["trace"], one["span"]] for one in sent]
        batch = worker.tell(f"batch {json.dumps(links)}")["trace"]
        for one in sent:
            found = wait_for(lambda one=one: (b := server.bundle(one["trace"])) and b.spans and b)
            (keep,) = found.keeps
            assert (keep.trigger, keep.reason, keep.service) == ("upstream", f"linked from {batch}", "worker")
            assert {span.service for span in found.spans} == {"shop"}
        assert len(server.kept(batch).spans[0].links) == 3
    finally:
        for child in (sender, worker):
            child.close()
        assert [one.end() for one in agents] == [0, 0]
