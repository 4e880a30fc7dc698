"""Recordings to what each process remembers: parts merged, slices in the ring's order, code with its lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aftertrace.errors import BadRecording
from aftertrace.model import Attributes, Resource
from aftertrace.reconstruct.execution import Code
from aftertrace.reconstruct.levels import CALLS, LINES, level_at
from aftertrace.wire import linetable, recording, records
from aftertrace.wire.attributes import map_from_json
from aftertrace.wire.definitions import Definitions, LevelChange
from aftertrace.wire.recording import Clocks, Recording, Slice
from aftertrace.wire.values import Told

_ARGUMENT = 8  # flag of a name (docs/format.md, CODE)


@dataclass(slots=True)
class Memory:
    """All that one process remembers of one trace."""

    uid: str
    pid: int
    resource: Resource
    level: str
    codes: dict[int, Code]
    changes: dict[int, list[LevelChange]]  # of each code's level, in their order
    slices: list[Slice]  # in the ring's order, each once
    clocks: Clocks
    losses: list[tuple[int, int]] = field(default_factory=list)  # positions that the ring had overwritten
    sources: dict[str, str] = field(default_factory=dict)  # path -> sha256
    problems: list[str] = field(default_factory=list)

    def level_of(self, code: int, ticks: int) -> int:
        """At which level (0 spans, 1 calls, 2 lines) a code object was recorded at that moment."""
        return level_at(self.base(), self.changes.get(code, ()), ticks)

    def base(self) -> int:
        """The level of code of which no change is known."""
        return LINES if self.level in {"lines", "auto"} else CALLS


def read(recordings: Iterable[bytes]) -> tuple[list[Memory], list[str]]:
    """One memory for each process, in the order of their uids, and what could not be read at all."""
    found: dict[str, list[Recording]] = {}
    problems: list[str] = []
    for data in recordings:
        try:
            whole = recording.read(data)
        except BadRecording as error:
            problems.append(error.message)
            continue
        found.setdefault(whole.meta.process_uid, []).append(whole)
    return [_merge(uid, found[uid]) for uid in sorted(found)], problems


def _merge(uid: str, parts: list[Recording]) -> Memory:
    parts = sorted(parts, key=lambda part: part.meta.part)
    meta = parts[-1].meta
    attributes: Attributes = map_from_json(dict(meta.resource))
    attributes.setdefault("service.name", meta.service)
    return Memory(
        uid=uid,
        pid=meta.pid,
        resource=Resource(attributes),
        level=meta.level,
        codes=_codes([part.definitions for part in parts]),
        changes=_changes([part.definitions for part in parts]),
        slices=_slices(parts),
        clocks=Clocks.merged(part.clocks for part in parts),
        losses=sorted({loss for part in parts for loss in part.losses}),
        sources={path: digest for part in parts for path, digest in part.sources.items()},
        problems=[problem for part in parts for problem in part.problems],
    )


def _slices(parts: list[Recording]) -> list[Slice]:
    """Each position once: of two slices that begin at the same place the longer."""
    longest: dict[int, Slice] = {}
    for part in parts:
        for one in part.slices:
            known = longest.get(one.position)
            if known is None or len(one.records) > len(known.records):
                longest[one.position] = one
    return [longest[position] for position in sorted(longest)]


def _changes(definitions: list[Definitions]) -> dict[int, list[LevelChange]]:
    """Of each code, in their order."""
    changes: dict[int, list[LevelChange]] = {}
    for change in sorted({change for one in definitions for change in one.levels}, key=lambda change: change.ticks):
        changes.setdefault(change.code, []).append(change)
    return changes


def _codes(definitions: list[Definitions]) -> dict[int, Code]:
    codes: dict[int, Code] = {}
    files: dict[int, str] = {}
    for one in definitions:
        files.update(one.files)
    for one in definitions:
        for number, code in one.codes.items():
            if number not in codes:
                codes[number] = Code(
                    id=number,
                    path=files.get(code.file_id, ""),
                    name=code.name,
                    qualname=code.qualname,
                    first_line=code.first_line,
                    flags=code.flags,
                    names=tuple(name for name, _ in code.names),
                    arguments=tuple(name for name, flags in code.names if flags & _ARGUMENT),
                    lines=_lines(code.linetable, code.first_line),
                    table=code.linetable,
                )
    return codes


def _lines(table: bytes, first_line: int) -> Mapping[int, int]:
    try:
        return linetable.lines(table, first_line)
    except BadRecording:
        return {}


def events(memory: Memory, one: Slice, told: Told | None = None) -> Iterator[records.Record]:
    """The records of a slice; a broken one ends it, and is told. ``told``: of the slices before."""
    try:
        yield from records.decode(one.records, base_ticks=0, told=told)
    except BadRecording as error:
        memory.problems.append(f"records at position {one.position:,}: {error.message}")
