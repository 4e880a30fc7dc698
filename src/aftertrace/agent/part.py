"""What a process remembers of a kept trace, made ready: slices put together and redacted, the definitions they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aftertrace.agent import redact, walk
from aftertrace.agent.parked import Entry
from aftertrace.agent.process import Process
from aftertrace.agent.spans import Spans
from aftertrace.agent.watch import Trigger
from aftertrace.model import LogRecord, Span
from aftertrace.wire.definitions import EXCEPTIONS, Definitions, LevelChange
from aftertrace.wire.kinds import Kind
from aftertrace.wire.recording import Clocks, Slice

_MOST_SHED = 64  # code objects that a recording names although none of their calls is in it


@dataclass(slots=True)
class Part:
    """``entries`` are what has not gone yet, in the ring's order; ``told`` knows the spans of those that have."""

    process: Process
    entries: list[Entry]
    told: Spans
    whole: bool  # also spans that have not ended go: the process is gone, or the agent is going
    still_open: bool = False  # also those go, for now: the request hangs
    slices: list[Slice] = field(default_factory=list)
    definitions: Definitions = field(default_factory=Definitions)
    clocks: Clocks = field(default_factory=Clocks)
    spans: list[Span] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)
    needed: list[str] = field(default_factory=list)

    def paths(self) -> list[str]:
        """Of the sources that its records need."""
        return [path for path in self.needed if not path.startswith("<")]

    def lacks(self) -> list[str]:
        """The sources that were not handed over."""
        return [path for path in self.paths() if path not in self.process.sources]

    def prepare(self) -> None:
        codes: set[int] = set()
        ordered = coalesce(entry for entry in self.entries if not entry.fragment)
        self.slices = [Slice(one.position, _clean(one.records, codes)) for one in ordered]
        known = self.process.definitions()
        self.definitions.levels = self._levels(known, codes)
        wanted = codes | {change.code for change in self.definitions.levels}
        self.definitions.codes = {number: known.codes[number] for number in sorted(wanted) if number in known.codes}
        files = {code.file_id for code in self.definitions.codes.values()}
        self.definitions.files = {number: known.files[number] for number in sorted(files) if number in known.files}
        used = {code.file_id for number, code in self.definitions.codes.items() if number in codes}
        self.needed = [path for number, path in self.definitions.files.items() if number in used]
        self.clocks = Clocks(self.process.samples_for([walk.ticks_of(entry.records) for entry in self.entries]))
        self.told.take([entry.records for entry in self.entries], self.clocks)
        self.spans, self.logs = self.told.ready(whole=self.whole, still_open=self.still_open)
        self.entries = []

    def _levels(self, known: Definitions, codes: set[int]) -> list[LevelChange]:
        """Those of the part's own code, and of code that was not recorded meanwhile."""
        moments = [walk.ticks_of(entry.records) for entry in self.entries]
        first, last = (min(moments), max(moments)) if moments else (0, 0)
        own = [change for change in known.levels if change.code in codes or change.code == EXCEPTIONS]
        silent = {code: at for code, at in _silent(known.levels, first, last).items() if code not in codes}
        shed = list(silent.values())[-_MOST_SHED:]
        return sorted([*own, *shed], key=lambda change: change.ticks)


@dataclass(slots=True)
class Job:
    """One trace, ready to go."""

    trace: str  # hex
    triggers: list[tuple[Process, Trigger]]  # that are new
    names: list[str]  # of all triggers so far
    parts: list[Part]
    numbers: dict[int, int]  # process -> parts of its recording so far; what goes now is added
    deadline: float  # monotonic: until then it waits for sources
    left_out: int = 0  # requests that were not kept because of it for want of room
    prepared: bool = False

    def prepare(self) -> None:
        """All that does not change any more. Once."""
        if not self.prepared:
            self.prepared = True
            for part in self.parts:
                part.prepare()

    def lacks(self) -> bool:
        """Whether a living process has still to hand over a source that is needed."""
        return any(part.process.connected and part.lacks() for part in self.parts)


def coalesce(entries: Iterable[Entry]) -> Iterator[Slice]:
    """Slices as the ring has them, wherever polls cut them: what continues the slice before it is put back."""
    position, pieces, end = 0, list[bytes](), -1
    for entry in entries:
        if walk.is_continued(entry.records) and entry.position == end:
            rest = walk.without_segment(entry.records)
            pieces.append(rest)
            end += len(rest)
            continue
        if pieces:
            yield Slice(position, b"".join(pieces))
        position, pieces = entry.position, [entry.records]
        end = walk.position_of(position, entry.records, len(entry.records))
    if pieces:
        yield Slice(position, b"".join(pieces))


def _silent(changes: Iterable[LevelChange], first: int, last: int) -> dict[int, LevelChange]:
    """Code that was at level spans at some moment from ``first`` to ``last`` (ticks): since which change."""
    silent: dict[int, LevelChange] = {}
    for change in changes:
        if change.ticks > last:
            break
        if change.level == 0 and change.code != EXCEPTIONS:
            silent[change.code] = change
        elif change.ticks < first:
            silent.pop(change.code, None)
    return silent


def _clean(records: bytes, codes: set[int]) -> bytes:
    """The slice without secrets; adds the codes that it names. Only a record that may hold one is decoded."""
    out: list[bytes] = []
    done = end = 0
    for kind, start, end, _, _ in walk.walk(records):
        code = walk.code_of(kind, records, start)
        if code:
            codes.add(code)
        elif kind == Kind.SEGMENT and start:  # a slice begins with its only one: this is what was damaged
            out.append(records[done:start])
            done = end
            continue
        if redact.suspicious(records, start, end):
            out += (records[done:start], redact.record(records[start:end]))
            done = end
    out.append(records[done:end])  # what stands behind the last whole record was not looked at: it stays here
    return b"".join(out)
