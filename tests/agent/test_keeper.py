"""The keeper: which triggers the other agents are told of."""

from types import SimpleNamespace

from aftertrace.agent.keep import Keeper
from aftertrace.agent.memory import Memory
from aftertrace.agent.tell import Counts
from aftertrace.agent.watch import Trigger

PROCESS = SimpleNamespace(number=1, ring=SimpleNamespace(service="orders"), gone=False)


def keeper_of(*traces):
    """With something of these traces in its memory."""
    memory, counts = Memory(64 << 20, lambda _: None), Counts()
    for number, trace in enumerate(traces):
        memory.add(1, 100 * number, trace, b"\x01" * 20)
    return Keeper(memory, {1: PROCESS}, counts), counts


def neighbour(trace, of):
    return Trigger(trace, "neighbour", "", 7, "overlapped", "neighbour", of=of)


def test_a_neighbour_that_fails_later_is_told_of_then():
    first, second = b"a" * 16, b"b" * 16
    keeper, counts = keeper_of(first, second)
    keeper.trigger(PROCESS, neighbour(first, second))
    assert not keeper.fresh
    keeper.trigger(PROCESS, Trigger(first, "unhandled-exception", "11" * 8, 9))
    keeper.trigger(PROCESS, Trigger(first, "error-status", "22" * 8, 9))
    assert [(one.trace, one.name) for one in keeper.fresh] == [(first, "unhandled-exception")]
    assert counts.kept == 1


def test_neighbours_leave_room_for_a_failure():
    """A request that is open for long overlaps many that fail."""
    trace, others = b"a" * 16, [bytes([number]) * 16 for number in range(40)]
    keeper, _ = keeper_of(trace)
    for other in others:
        keeper.trigger(PROCESS, neighbour(trace, other))
    keeper.trigger(PROCESS, Trigger(trace, "unhandled-exception", "11" * 8, 9))
    assert keeper.has_failed(trace)
    (job,) = keeper.jobs(everything=True)
    assert [trigger.role for _, trigger in job.triggers].count("failure") == 1
    assert len(job.triggers) == 17


def test_a_failure_that_is_a_neighbour_later_is_told_of_once():
    first, second = b"a" * 16, b"b" * 16
    keeper, _ = keeper_of(first, second)
    keeper.trigger(PROCESS, Trigger(first, "unhandled-exception", "11" * 8, 9))
    keeper.trigger(PROCESS, neighbour(first, second))
    assert [one.name for one in keeper.fresh] == ["unhandled-exception"]
