"""Producers whose message may still lie in a queue when their part leaves memory: it is parked, up to 32 KB a trace,
until the consumer has answered here or room runs out. A consumer that fails elsewhere marks it (docs/fleet.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aftertrace.agent.walk import read_varint
from aftertrace.model import SpanKind
from aftertrace.wire.kinds import Kind

LIMIT = 8 << 20  # bytes of all parked records
MOST_OF_A_TRACE = 32 << 10
_ENTRY_BYTES = 200  # what an entry costs beside its records
_MOST_EXPECTED = 100_000  # traces with a producer's span
_MOST_OPEN = 20_000  # consumers' spans


@dataclass(frozen=True, slots=True)
class Entry:
    """A slice; or a fragment: a span's record that stands in another trace's slice, or in none's."""

    process: int
    position: int
    fragment: bool
    records: bytes


@dataclass(slots=True)
class _Place:
    entries: list[Entry] = field(default_factory=list)
    size: int = 0
    processes: set[int] = field(default_factory=set)


class Parked:
    """``hold`` and ``release`` are told of the processes that it needs."""

    def __init__(self, hold: Callable[[int], None], release: Callable[[int], None], limit: int = LIMIT) -> None:
        self.bytes = 0
        self._limit = limit
        self._hold, self._release = hold, release
        self._expected: dict[bytes, None] = {}  # traces whose message was not answered here
        self._consumers: dict[bytes, bytes] = {}  # span -> trace, under way
        self._places: dict[bytes, _Place] = {}  # oldest first

    def __contains__(self, trace: bytes) -> bool:
        return trace in self._places

    def __len__(self) -> int:
        return len(self._places)

    def traces(self) -> list[bytes]:
        return list(self._places)

    def expects(self, trace: bytes) -> bool:
        """Whether it is to be parked when it leaves memory."""
        return trace in self._expected

    def see(self, records: bytes, found: Sequence[tuple[int, ...]]) -> None:
        """The records of one slice: which are of producers' and consumers' spans."""
        for kind, start, *_ in found:
            try:
                if kind == Kind.SPAN_START:
                    at = read_varint(records, start)[1]
                    self._start(records[at + 32], records[at : at + 8], records[at + 8 : at + 24])
                elif kind == Kind.SPAN_END and self._consumers:
                    at = read_varint(records, start)[1]
                    self._answered(self._consumers.pop(records[at : at + 8], b""))
            except IndexError:
                continue

    def _start(self, kind: int, span: bytes, trace: bytes) -> None:
        if kind == SpanKind.PRODUCER:
            self._expected[trace] = None
            if len(self._expected) > _MOST_EXPECTED:
                del self._expected[next(iter(self._expected))]
        elif kind == SpanKind.CONSUMER:
            self._consumers[span] = trace
            if len(self._consumers) > _MOST_OPEN:
                del self._consumers[next(iter(self._consumers))]

    def _answered(self, trace: bytes) -> None:
        """A later message of the same trace is as likely as not, but its producer was seen to be answered."""
        self._expected.pop(trace, None)

    def put(self, trace: bytes, entry: Entry) -> bool:
        """False: no room is left for more of this trace."""
        place = self._places.setdefault(trace, _Place())
        size = len(entry.records) + _ENTRY_BYTES
        if place.size + size > MOST_OF_A_TRACE:
            return False
        place.entries.append(entry)
        place.size += size
        self.bytes += size
        if entry.process not in place.processes:
            place.processes.add(entry.process)
            self._hold(entry.process)
        while self.bytes > self._limit:
            self._drop(next(iter(self._places)))
        return trace in self._places

    def entries(self, trace: bytes) -> list[Entry]:
        """In the order in which they were put."""
        place = self._places.get(trace)
        return place.entries if place is not None else []

    def _drop(self, trace: bytes) -> None:
        place = self._places.pop(trace)
        self.bytes -= place.size
        self._expected.pop(trace, None)
        for process in place.processes:
            self._release(process)
