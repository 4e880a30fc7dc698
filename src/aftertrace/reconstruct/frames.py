"""From one process's records to drafts of steps: activations, callers, lines, threads, and what each name held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aftertrace.model import Missing, Value
from aftertrace.reconstruct import decode, levels, messages
from aftertrace.reconstruct.decode import Memory
from aftertrace.reconstruct.execution import Code, Frame, StepKind, Write
from aftertrace.reconstruct.levels import CALLS, LINES
from aftertrace.reconstruct.news import is_news
from aftertrace.wire import records
from aftertrace.wire.values import Told

GAP_REASONS = {
    1: "ring overrun",
    2: "definitions full",
    3: "code not armed",
    4: "shed by the governor",
    5: "record too large",
    6: "recorder in doubt",
}


@dataclass(slots=True)
class Draft:
    """A step before it has its place among those of other processes."""

    process: int
    kind: StepKind
    activation: int
    line: int
    time_ns: int
    span_id: str
    thread: int
    number: int  # of the activation's records, from 0
    writes: tuple[Write, ...] = ()
    value: Value | None = None
    text: str = ""
    exception: int = 0
    lasti: int = -1
    unseen: bool = False
    bindings: list[Bound] = field(default_factory=list)
    index: int = -1  # in the execution, once it has its place


@dataclass(frozen=True, slots=True)
class Bound:
    """A value that becomes visible with a draft, in its own or (from a snapshot) in another frame."""

    activation: int
    name: str
    value: Value
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame begins or goes on with a draft."""

    activation: int
    parent: int
    call_line: int
    draft: Draft
    call_site: int = -1


@dataclass(slots=True)
class Activation:
    frame: Frame
    line: int = 0  # at which it stands
    wrote: int = 0  # the line that ran last, where a FRAME tells of it before the LINE at which it stands; 0: unknown
    parent: int = 0  # which runs it now
    count: int = 0
    began: int = 0  # ticks
    seen: int = 0  # ticks of its record before
    stale: bool = False  # lines that were not recorded may have written since its last values
    ended: bool = False
    lines: bool = False  # there are LINEs of it
    names: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Story:
    """What one process did, in its own order."""

    memory: Memory
    process: int
    drafts: list[Draft] = field(default_factory=list)
    frames: dict[int, Frame] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    outside: int = 0  # drafts without a frame
    window: tuple[int, int] | None = None  # ticks of its first and last record of the trace
    homeless: int = 0  # records of activations of which nothing else is known


def tell(memory: Memory, process: int, trace_id: str) -> Story:
    """The story of one process; ``process`` is its index in the execution."""
    return _Teller(memory, process, trace_id).tell()


_RAISES: dict[type[records.Record], StepKind] = {
    records.Raise: StepKind.RAISE,
    records.Reraise: StepKind.RERAISE,
    records.Handled: StepKind.HANDLED,
}


class _Teller:
    def __init__(self, memory: Memory, process: int, trace_id: str) -> None:
        self.memory = memory
        self.trace_id = trace_id
        self.story = Story(memory, process)
        self.activations: dict[int, Activation] = {}
        self.running: dict[int, int] = {}  # thread -> activation
        self.thread = 0
        self.span_id = ""
        self.fills: list[Bound] = []  # from snapshots, for the next draft
        self.awaited: dict[int, records.Resume | records.Throw] = {}  # of calls begun elsewhere: their snapshot follows
        self.unstamped: list[Draft] = []
        self.stamp = 0
        self.ticks = 0
        self.foreign = False  # the segment belongs to another trace
        self.handlers: dict[type[records.Record], Callable[..., None]] = {
            records.Segment: self._segment,
            records.FrameState: self._snapshot,
            records.Start: self._start,
            records.Line: self._line,
            records.Return: self._end,
            records.Yield: self._end,
            records.Unwind: self._unwind,
            records.Resume: self._resume,
            records.Throw: self._resume,
            records.Raise: self._raise,
            records.Reraise: self._raise,
            records.Handled: self._raise,
            records.SpanStart: self._span,
            records.SpanEnd: self._span,
            records.Log: self._log,
            records.KeepRecord: self._keep,
            records.GapRecord: self._gap,
        }

    def tell(self) -> Story:
        losses = list(self.memory.losses)
        told: Told = {}
        for one in self.memory.slices:
            while losses and losses[0][1] <= one.position:
                self._lost(*losses.pop(0))
            for record in decode.events(self.memory, one, told):
                handler = self.handlers.get(type(record))
                if handler is not None and (not self.foreign or type(record) is records.Segment):
                    self.ticks = record.ticks
                    handler(record)
            if not self.foreign:
                self._widen(self.ticks)
            self._settle(self.stamp)
        for loss in losses:
            self._lost(*loss)
        self._tell_levels()
        self.story.frames = {number: one.frame for number, one in self.activations.items()}
        return self.story

    def _widen(self, ticks: int) -> None:
        first, last = self.story.window or (ticks, ticks)
        self.story.window = (min(first, ticks), max(last, ticks))

    def _tell_levels(self) -> None:
        """At which level each activation was recorded, and since when, and why, it was not lines."""
        memory, end = self.memory, self.story.window[1] if self.story.window else 0
        for one in self.activations.values():
            changes = memory.changes.get(one.frame.code.id, ())
            until = one.seen if one.ended else max(one.seen, end)
            found, since = levels.of_frame(memory.base(), changes, one.began, until, lines=one.lines)
            by_process = found != "lines" and since is None and memory.base() < LINES
            one.frame.level, one.frame.cause = found, "level" if by_process else levels.cause(since)
            one.frame.since_ns = memory.clocks.realtime(since.ticks) if since is not None else 0

    # -- drafts

    def _draft(self, kind: StepKind, record: records.Record, one: Activation | None, line: int) -> Draft:
        number = one.count if one else self.story.outside
        if one:
            one.count += 1
        else:
            self.story.outside += 1
        draft = Draft(
            process=self.story.process,
            kind=kind,
            activation=one.frame.activation if one else 0,
            line=line,
            time_ns=0,
            span_id=self.span_id,
            thread=self.thread,
            number=number,
        )
        if one is not None:
            draft.unseen = self._unseen(one, kind)
            one.stale = one.stale or draft.unseen
            one.seen = self.ticks
            one.lines = one.lines or kind is StepKind.LINE
            one.ended = kind in {StepKind.RETURN, StepKind.UNWIND}
        if self.fills:
            draft.bindings, self.fills = self.fills, []
        self.story.drafts.append(draft)
        self.unstamped.append(draft)
        if type(record) is not records.Line:
            self._settle(self.memory.clocks.realtime(record.ticks))
        return draft

    def _unseen(self, one: Activation, kind: StepKind) -> bool:
        """Whether lines of it may have run, since its record before, that were not recorded. While it waits to be
        resumed none runs, unless it was resumed and that was not recorded either."""
        changes = self.memory.changes.get(one.frame.code.id)
        if not changes or kind is StepKind.START:
            return False
        waited = kind in {StepKind.RESUME, StepKind.THROW}
        lowest, _ = levels.between(self.memory.base(), changes, one.seen, self.ticks)
        return lowest < (CALLS if waited else LINES)

    def _settle(self, until: int) -> None:
        """Gives the drafts since the last stamp their times: evenly spread, the last at ``until``."""
        first, count = self.stamp or until, len(self.unstamped)
        span = max(until - first, 0)
        for n, draft in enumerate(self.unstamped, 1):
            draft.time_ns = first + span * n // count
        self.unstamped.clear()
        self.stamp = max(first + span, self.stamp)

    def _known(self, number: int) -> Activation | None:
        found = self.activations.get(number)
        if found is None:
            self.story.homeless += 1
        return found

    # -- values

    def _named(self, one: Activation, slots: records.Slots) -> Iterator[tuple[str, Value]]:
        code = one.frame.code
        for slot, value in slots:
            if slot == records.OTHERS:
                yield from ((name, value) for name in list(one.names) if name not in code.arguments)
            elif slot < len(code.names) and code.names[slot]:
                yield code.names[slot], value

    def _bind(self, one: Activation, slots: records.Slots, line: int, draft: Draft, *, every: bool) -> None:
        """Makes values visible with a draft. ``every``: the slots are all that are bound; only what differs is news."""
        line, one.stale = 0 if one.stale else line, False
        writes: list[Write] = []
        for name, value in self._named(one, slots):
            if every and not is_news(one.names.get(name), value):
                continue
            one.names[name] = value
            writes.append(Write(name, value))
            draft.bindings.append(Bound(one.frame.activation, name, value, line))
        draft.writes = tuple(writes)

    def _line_of(self, one: Activation, lasti: int) -> int:
        return one.frame.code.lines.get(lasti, 0) or one.line

    # -- records

    def _segment(self, record: records.Segment) -> None:
        self.thread = record.thread
        self.foreign = bool(record.trace_id) and record.trace_id != self.trace_id
        self.span_id = record.span_id if record.trace_id else ""
        self._settle(self.stamp)
        self.stamp = max(self.stamp, self.memory.clocks.realtime(record.ticks))
        if not self.foreign:
            self._widen(record.ticks)

    def _snapshot(self, record: records.FrameState) -> None:
        one = self.activations.get(record.activation)
        if one is None:
            code = self.memory.codes.get(record.code)
            if code is None:
                self.story.homeless += 1
                return
            one = self._make(record.activation, code, record.parent, self._at(record.parent), complete=False)
        unseen = self._unseen(one, StepKind.LINE)
        one.wrote = 0 if unseen or one.stale else one.line
        one.parent = record.parent
        one.line = self._line_of(one, record.lasti)
        self.running[self.thread] = record.activation
        for name, value in self._named(one, record.slots):
            if is_news(one.names.get(name), value):
                known = name in one.names and one.names[name].missing is not Missing.LEVEL
                one.names[name] = value
                self.fills.append(Bound(record.activation, name, value, one.wrote if known else 0))
        resumed = self.awaited.pop(record.activation, None)
        if resumed is not None:
            self.story.homeless -= 1
            self._resume(resumed)

    def _at(self, number: int) -> int:
        one = self.activations.get(number)
        return one.line if one else 0

    def _make(self, number: int, code: Code, parent: int, call_line: int, *, complete: bool) -> Activation:
        frame = Frame(
            process=self.story.process,
            activation=number,
            code=code,
            parent=parent if parent != number else 0,
            call_line=call_line,
            span_id=self.span_id,
            thread=self.thread,
            complete=complete,
        )
        made = self.activations[number] = Activation(frame, parent=frame.parent, began=self.ticks, seen=self.ticks)
        return made

    def _start(self, record: records.Start) -> None:
        code = self.memory.codes.get(record.code)
        if code is None or not record.activation or record.activation in self.activations:
            self.story.homeless += 1
            return
        parent = self.activations.get(record.parent)
        call_line = (
            self._line_of(parent, record.call_site) if parent and record.call_site >= 0 else self._at(record.parent)
        )
        one = self._make(record.activation, code, record.parent, call_line, complete=True)
        one.line = one.wrote = code.first_line
        self.running[self.thread] = record.activation
        draft = self._draft(StepKind.START, record, one, code.first_line)
        self.story.entries.append(Entry(record.activation, one.parent, call_line, draft, record.call_site))
        self._bind(one, record.slots, code.first_line, draft, every=False)

    def _line(self, record: records.Line) -> None:
        one = self._known(record.activation)
        if one is None:
            return
        line = one.frame.code.first_line + record.line
        wrote, one.line, one.wrote = one.wrote if one.line == line else one.line, line, line
        self.running[self.thread] = record.activation
        draft = self._draft(StepKind.LINE, record, one, one.line)
        self._bind(one, record.slots, wrote, draft, every=False)

    def _end(self, record: records.Return | records.Yield) -> None:
        one = self._known(record.activation)
        if one is None:
            return
        wrote, line = one.line, self._line_of(one, record.lasti)
        returned = isinstance(record, records.Return)
        draft = self._draft(StepKind.RETURN if returned else StepKind.YIELD, record, one, line)
        draft.value, draft.lasti = record.value, record.lasti
        at_calls = not self._at_lines(one, record.ticks)
        self._bind(one, record.slots, 0 if at_calls else wrote, draft, every=returned and at_calls)
        one.line = line
        self.running[self.thread] = one.parent

    def _at_lines(self, one: Activation, ticks: int) -> bool:
        return self.memory.level_of(one.frame.code.id, ticks) >= LINES

    def _unwind(self, record: records.Unwind) -> None:
        one = self._known(record.activation)
        if one is None:
            return
        wrote, one.line = one.line, self._line_of(one, record.lasti)
        draft = self._draft(StepKind.UNWIND, record, one, one.line)
        draft.exception, draft.lasti = record.exception, record.lasti
        self._bind(one, record.slots, wrote if self._at_lines(one, record.ticks) else 0, draft, every=True)
        self.running[self.thread] = one.parent

    def _resume(self, record: records.Resume | records.Throw) -> None:
        one = self._known(record.activation)
        if one is None:
            self.awaited[record.activation] = record
            return
        one.parent = record.parent if record.parent != record.activation else 0
        self.running[self.thread] = record.activation
        thrown = isinstance(record, records.Throw)
        draft = self._draft(StepKind.THROW if thrown else StepKind.RESUME, record, one, one.line)
        self.story.entries.append(Entry(record.activation, one.parent, self._at(one.parent), draft))
        if isinstance(record, records.Throw):
            draft.value, draft.exception = record.value, record.exception

    def _raise(self, record: records.Raise | records.Reraise | records.Handled) -> None:
        one = self._known(record.activation)
        if one is None:
            return
        self.running[self.thread] = record.activation
        draft = self._draft(_RAISES[type(record)], record, one, self._line_of(one, record.lasti))
        draft.exception, draft.lasti = record.exception, record.lasti
        if isinstance(record, records.Raise):
            draft.value = record.value

    def _here(self) -> Activation | None:
        return self.activations.get(self.running.get(self.thread, 0))

    def _span(self, record: records.SpanStart | records.SpanEnd) -> None:
        started = isinstance(record, records.SpanStart)
        if isinstance(record, records.SpanStart) and record.trace_id != self.trace_id:
            return
        one = self._here()
        draft = self._draft(StepKind.SPAN_START if started else StepKind.SPAN_END, record, one, one.line if one else 0)
        draft.span_id = record.span_id
        if isinstance(record, records.SpanStart):
            draft.text = record.name

    def _log(self, record: records.Log) -> None:
        one = self._here()
        draft = self._draft(StepKind.LOG, record, one, one.line if one else 0)
        draft.value, draft.text = record.message, messages.text(record.message, record.arguments)

    def _keep(self, record: records.KeepRecord) -> None:
        one = self._here()
        draft = self._draft(StepKind.KEEP, record, one, one.line if one else 0)
        draft.text = record.reason

    def _gap(self, record: records.GapRecord) -> None:
        draft = self._draft(StepKind.GAP, record, None, 0)
        reason = GAP_REASONS.get(record.reason, f"reason {record.reason}")
        times = f" ({record.count:,} times)" if record.count > 1 else ""
        draft.text = f"{reason}: {record.detail}{times}" if record.detail else reason + times

    def _lost(self, first: int, last: int) -> None:
        draft = Draft(
            self.story.process, StepKind.GAP, 0, 0, self.stamp, self.span_id, self.thread, self.story.outside,
            text=f"{GAP_REASONS[1]}: {last - first:,} bytes were overwritten before they were read",
        )  # fmt: skip
        self.story.outside += 1
        self.story.drafts.append(draft)
