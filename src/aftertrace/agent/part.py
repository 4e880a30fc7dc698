"""What a process remembers of a kept trace, made ready: slices put together and redacted, the definitions they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aftertrace.agent import redact, walk
from aftertrace.agent.memory import Entry
from aftertrace.agent.process import Process
from aftertrace.agent.spans import Spans
from aftertrace.agent.watch import Trigger
from aftertrace.model import LogRecord, Span
from aftertrace.wire.definitions import Definitions
from aftertrace.wire.kinds import Kind
from aftertrace.wire.recording import Clocks, Slice


@dataclass(slots=True)
class Part:
    """``entries`` are what has not gone yet, in the ring's order; ``told`` knows the spans of those that have."""

    process: Process
    entries: list[Entry]
    told: Spans
    whole: bool  # also spans that have not ended go: the process is gone, or the agent is going
    slices: list[Slice] = field(default_factory=list)
    definitions: Definitions = field(default_factory=Definitions)
    clocks: Clocks = field(default_factory=Clocks)
    spans: list[Span] = field(default_factory=list)
    logs: list[LogRecord] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path in self.definitions.files.values() if not path.startswith("<")]

    def lacks(self) -> list[str]:
        """The sources that were not handed over."""
        return [path for path in self.paths() if path not in self.process.sources]

    def prepare(self) -> None:
        codes: set[int] = set()
        ordered = coalesce(entry for entry in self.entries if not entry.fragment)
        self.slices = [Slice(one.position, _clean(one.records, codes)) for one in ordered]
        known = self.process.definitions()
        self.definitions.codes = {number: known.codes[number] for number in sorted(codes) if number in known.codes}
        files = {code.file_id for code in self.definitions.codes.values()}
        self.definitions.files = {number: known.files[number] for number in sorted(files) if number in known.files}
        self.clocks = Clocks(self.process.samples_for([walk.ticks_of(entry.records) for entry in self.entries]))
        self.told.take([entry.records for entry in self.entries], self.clocks)
        self.spans, self.logs = self.told.ready(whole=self.whole)
        self.entries = []


@dataclass(slots=True)
class Job:
    """One trace, ready to go."""

    trace: str  # hex
    triggers: list[tuple[Process, Trigger]]  # that are new
    names: list[str]  # of all triggers so far
    parts: list[Part]
    numbers: dict[int, int]  # process -> parts of its recording so far; what goes now is added
    deadline: float  # monotonic: until then it waits for sources
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


def _clean(records: bytes, codes: set[int]) -> bytes:
    """The slice without secrets; adds the codes that it names. Only a record that may hold one is decoded."""
    out: list[bytes] = []
    done = 0
    for kind, start, end, _, _ in walk.walk(records):
        code = walk.code_of(kind, records, start)
        if code:
            codes.add(code)
        elif kind == Kind.SEGMENT:
            continue
        if redact.suspicious(records, start, end):
            out += (records[done:start], redact.record(records[start:end]))
            done = end
    out.append(records[done:])
    return b"".join(out)
