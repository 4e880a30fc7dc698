"""The agent's memory of minutes: slices of all processes, first in, first out, compressed block by block.

A block holds about 1 MB of slices, each with a small head before it; full ones are compressed. Which blocks hold a
trace is all that is indexed. The oldest blocks go when the whole is larger than its bound.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from aftertrace.agent.departed import Departed
from aftertrace.agent.parked import Entry, Parked
from aftertrace.wire import zstd

BLOCK_BYTES = 1 << 20
MOST_OF_A_TRACE = 64 << 20  # bytes of its slices that leave memory at once
_HEAD = struct.Struct("<IQ16s?I")  # process, position, trace, is a fragment, length
_INDEX_BYTES = 250  # what a trace costs in the index, per block: key, list, two references


@dataclass(slots=True)
class _Block:
    number: int
    began: float  # monotonic, s
    data: bytearray = field(default_factory=bytearray)
    packed: bytes = b""
    traces: dict[bytes, int] = field(default_factory=dict)  # which of the processes, as bits
    processes: dict[int, int] = field(default_factory=dict)  # number -> its bit

    def cost(self) -> int:
        return len(self.data) + len(self.packed) + _INDEX_BYTES * len(self.traces)

    def entries(self, wanted: Collection[bytes]) -> Iterator[tuple[bytes, Entry]]:
        if not wanted:
            return
        data = zstd.decompress(self.packed, 1 << 30) if self.packed else bytes(self.data)
        at = 0
        while at < len(data):
            process, position, trace, fragment, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            if trace in wanted:
                yield trace, Entry(process, position, fragment, data[at : at + length])
            at += length


class Memory:
    """``limit``: bytes. ``forgotten(process)`` is called when nothing of a process is held any more; ``service_of``
    gives the name for what is remembered of it afterwards."""

    def __init__(
        self, limit: int, forgotten: Callable[[int], None], service_of: Callable[[int], str] = lambda _: ""
    ) -> None:
        self.limit = limit
        self.departed = Departed()
        self.parked = Parked(self._hold, self._let)
        self._service_of = service_of
        self.bytes = 0  # of all blocks but the open one
        self._forgotten = forgotten
        self._blocks: deque[_Block] = deque()
        self._open = _Block(0, time.monotonic())
        self._index: dict[bytes, list[int]] = {}
        self._held: dict[int, int] = {}  # process -> blocks

    def add(self, process: int, position: int, trace: bytes, records: bytes, *, fragment: bool = False) -> None:
        block = self._open
        block.data += _HEAD.pack(process, position, trace, fragment, len(records))
        block.data += records
        bit = block.processes.get(process)
        if bit is None:
            bit = block.processes[process] = 1 << len(block.processes)
            self._hold(process)
        parts = block.traces.get(trace)
        if parts is None:
            self._index.setdefault(trace, []).append(block.number)
        block.traces[trace] = bit if parts is None else parts | bit
        if len(block.data) >= BLOCK_BYTES:
            self._seal()

    @property
    def newest(self) -> int:
        """The number of the block that is being filled."""
        return self._open.number

    def collect(self, traces: Mapping[bytes, int]) -> dict[bytes, deque[Entry]]:
        """What is held of some traces in the blocks from a number on, oldest first; of a vast one the newest."""
        found = {trace: deque(self.parked.entries(trace)) for trace in traces}
        sizes = dict.fromkeys(traces, 0)
        wanted: dict[int, list[bytes]] = {}
        for trace, first in traces.items():
            for number in self._index.get(trace, ()):
                if number >= first:
                    wanted.setdefault(number, []).append(trace)
        for block in (*self._blocks, self._open):
            for trace, entry in block.entries(wanted.get(block.number, ())):
                found[trace].append(entry)
                sizes[trace] += len(entry.records)
                while sizes[trace] > MOST_OF_A_TRACE:
                    sizes[trace] -= len(found[trace].popleft().records)
        return found

    def holds(self, process: int) -> bool:
        return process in self._held

    def __contains__(self, trace: bytes) -> bool:
        """Whether something of a trace is held."""
        return trace in self._index or trace in self.parked

    def find(self, prefix: str) -> list[bytes]:
        """Traces that are held, by some of the first digits of their ids."""
        if len(prefix) == 32:
            return [trace] if (trace := bytes.fromhex(prefix)) in self else []
        held = dict.fromkeys([*self._index, *self.parked.traces()])
        return [trace for trace in held if trace.hex().startswith(prefix)]

    def blocks(self) -> list[Callable[[], Iterator[tuple[int, bytes]]]]:
        """All that is held now, oldest first, for another thread: each gives (process, records) when it is called."""
        full = [partial(_unpacked, block.packed) for block in self._blocks]
        return [*full, partial(_heads, bytes(self._open.data))]

    def horizon_s(self) -> float:
        """How far back it reaches."""
        oldest = self._blocks[0] if self._blocks else self._open
        return time.monotonic() - oldest.began if oldest.traces else 0.0

    def state(self) -> dict[str, float | int]:
        """For the status: sizes in bytes, the horizon in seconds."""
        return {
            "limit": self.limit,
            "bytes": self.bytes + self._open.cost(),
            "blocks": len(self._blocks) + 1,
            "traces": len(self._index),
            "parked": len(self.parked),
            "horizon_s": round(self.horizon_s(), 1),
        }

    def _seal(self) -> None:
        block = self._open
        block.packed = zstd.compress(bytes(block.data), 1)
        block.data = bytearray()
        self._blocks.append(block)
        self.bytes += block.cost()
        self._open = _Block(block.number + 1, time.monotonic())
        while self.bytes + BLOCK_BYTES > self.limit and self._blocks:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        block = self._blocks.popleft()
        self.bytes -= block.cost()
        services = {bit: self._service_of(process) for process, bit in block.processes.items()}
        self._park(block)
        for trace, parts in block.traces.items():
            if trace not in self.parked:
                self.departed.add(trace, [service for bit, service in services.items() if bit & parts])
            numbers = self._index[trace]
            numbers.remove(block.number)
            if not numbers:
                del self._index[trace]
        for process in block.processes:
            self._let(process)

    def _park(self, block: _Block) -> None:
        """What of an oldest block is of producers that nobody has answered."""
        for trace, entry in block.entries([trace for trace in block.traces if self.parked.expects(trace)]):
            if not self.parked.put(trace, entry):
                self.departed.add(trace, [self._service_of(entry.process)])

    def _hold(self, process: int) -> None:
        self._held[process] = self._held.get(process, 0) + 1

    def _let(self, process: int) -> None:
        self._held[process] -= 1
        if not self._held[process]:
            del self._held[process]
            self._forgotten(process)


def _unpacked(packed: bytes) -> Iterator[tuple[int, bytes]]:
    return _heads(zstd.decompress(packed, 1 << 30))


def _heads(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        process, _, _, _, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        yield process, data[at : at + length]
        at += length
