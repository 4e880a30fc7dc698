"""Rules of people (`aftertrace keep EXPR`), judged on the spans of each request as they end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aftertrace.agent import redact, walk
from aftertrace.agent.process import Process
from aftertrace.agent.spans import Spans
from aftertrace.agent.watch import Trigger
from aftertrace.errors import UsageError
from aftertrace.model import Resource, Span, SpanKind
from aftertrace.wire import rules as wire
from aftertrace.wire.kinds import Kind
from aftertrace.wire.recording import Clocks
from aftertrace.wire.rules import Rule

RULE = "rule"
_ASKED = {SpanKind.SERVER, SpanKind.CONSUMER}
_NO_SPAN = bytes(8)
_MOST_OPEN = 20_000
_MOST_PIECES = 500  # records of one span
_OF_SPANS = range(Kind.SPAN_START, Kind.SPAN_END + 1)

type Found = Sequence[
    tuple[int, int, int, int]
]  # kind, start of the body, end, ticks before: what _native.survey gives


@dataclass(slots=True)
class _Open:
    trace: bytes
    timed: bool  # its start has a time of its own, not the record's
    pieces: list[bytes] = field(default_factory=list)  # its records, each a slice of its own
    ticks: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ended:
    """A span that is judged: it has ended, or time is over."""

    trace: bytes
    span: Span
    ticks: int


class Requests:
    """Roots and spans of servers and consumers of any number of processes, put together from their records."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, bytes], _Open] = {}
        self.ended = 0  # all of them

    def take(self, process: Process, records: bytes, found: Found, rules: Sequence[Rule]) -> Iterator[Ended]:
        """Those that end in a slice, and that one of the rules may fit."""
        for kind, start, end, ticks in found:
            if kind not in _OF_SPANS:
                continue
            try:
                key = process.number, _span_id(kind, records, start)
                held = self._begin(key, records, start, end) if kind == Kind.SPAN_START else self._open.get(key)
                after = ticks + walk.read_varint(records, start)[0] if walk.STAMPED[kind] else ticks
            except IndexError:
                continue
            if held is None:
                continue
            if len(held.pieces) < _MOST_PIECES:
                held.pieces.append(walk.fragment(held.trace, ticks, records[start - walk.HEAD : end]))
                held.ticks.append(after)
            if kind == Kind.SPAN_END:
                del self._open[key]
                self.ended += 1
                lasted = _lasted(process, held, records, start)
                told = b"".join(held.pieces)
                if any(rule.may_hold(told, lasted) for rule in rules):
                    yield from _spans(process, held)

    def _begin(self, key: tuple[int, bytes], records: bytes, start: int, end: int) -> _Open | None:
        """None: nobody asks for such a span."""
        at = walk.read_varint(records, start)[1]
        if at + 36 > end:
            return None
        if records[at + 32] not in _ASKED and records[at + 24 : at + 32] != _NO_SPAN and not records[at + 34]:
            return None
        held = self._open[key] = _Open(records[at + 8 : at + 24], bool(records[at + 35]))
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return held

    def rest(self, processes: Mapping[int, Process]) -> Iterator[tuple[Process, Ended]]:
        """Those that have not ended."""
        for (number, _), held in self._open.items():
            process = processes.get(number)
            if process is not None:
                yield from ((process, one) for one in _spans(process, held))


def _span_id(kind: int, records: bytes, start: int) -> bytes:
    stamped = kind in {Kind.SPAN_START, Kind.SPAN_EVENT, Kind.SPAN_END}
    at = walk.read_varint(records, start)[1] if stamped else start
    return records[at : at + 8]


def _lasted(process: Process, held: _Open, records: bytes, end: int) -> int | None:
    """ns by the ring's ticks, from the first record to the SPAN_END whose body stands at ``end``. None: its start or
    its end has a time of its own."""
    at = walk.read_varint(records, end)[1] + 8
    if held.timed or at >= len(records) or records[at]:
        return None
    return process.ns(held.ticks[-1] - held.ticks[0])


def _spans(process: Process, held: _Open) -> Iterator[Ended]:
    """The span as its records tell it: none when they are broken."""
    spans = Spans(held.trace.hex())
    spans.take(held.pieces, Clocks(process.samples_for([held.ticks[0], held.ticks[-1]])))
    resource = Resource({"service.name": process.ring.service})
    for span in spans.ready(whole=True)[0]:
        yield Ended(held.trace, replace(span, resource=resource), held.ticks[-1])


@dataclass(frozen=True, slots=True)
class _Held:
    rule: Rule
    until: float  # monotonic


class Rules:
    """Those that the server gave last."""

    def __init__(self) -> None:
        self._rules: list[_Held] = []
        self._requests = Requests()

    def __bool__(self) -> bool:
        return bool(self._rules)

    def set(self, given: Iterable[Mapping[str, Any]]) -> None:
        """What cannot be read is left out: a newer server may know more."""
        now = time.monotonic()
        held = []
        for one in list(given)[: wire.MOST]:
            try:
                held.append(_Held(wire.parse(str(one.get("expression"))), now + float(one.get("left_s", 0))))
            except (UsageError, ValueError, TypeError):
                continue
        self._rules = held
        if not held:
            self._requests = Requests()

    def take(self, process: Process, records: bytes, found: Found) -> Iterator[Trigger]:
        """The records of one slice."""
        now = time.monotonic()
        if any(one.until <= now for one in self._rules):
            self._rules = [one for one in self._rules if one.until > now]
        rules = [one.rule for one in self._rules if one.rule.may_fit(process.ring.service)]
        for ended in self._requests.take(process, records, found, rules) if rules else ():
            yield from (trigger for rule in rules if (trigger := judge(rule, ended)) is not None)


def judge(rule: Rule, ended: Ended, now_ns: int = 0) -> Trigger | None:
    """None: the rule does not hold of it."""
    if not rule.fits(ended.span, now_ns):
        return None
    return Trigger(ended.trace, RULE, ended.span.span_id, ended.ticks, redact.text(rule.expression))
