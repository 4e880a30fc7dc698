"""What one process remembers of one trace, as a file: sections with checksums (docs/format.md, "Recording")."""

from __future__ import annotations

import json
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from aftertrace.errors import BadRecording, UnknownVersion
from aftertrace.wire import definitions
from aftertrace.wire.definitions import Definitions
from aftertrace.wire.primitives import broken, u64

VERSION = 1
_MAGIC = b"ATREC\r\n"
_HEAD = struct.Struct("<BII")  # type, length, CRC-32
_SAMPLE = struct.Struct("<5Q")
META, DEFINITIONS, CLOCK, SLICE, LOSS, SOURCES, END = 1, 2, 3, 4, 5, 6, 255


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment on all clocks of a process."""

    sequence: int
    ticks: int
    monotonic: int  # ns
    realtime: int  # ns since 1970
    rate: int  # ticks per second


class Clocks:
    """From ticks to the wall clock. Without samples ticks are taken for nanoseconds."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.samples = sorted(set(samples), key=lambda one: (one.ticks, one.sequence))
        self._ticks = [one.ticks for one in self.samples]

    @classmethod
    def merged(cls, clocks: Iterable[Clocks]) -> Clocks:
        """One clock from several of the same process."""
        return cls(sample for one in clocks for sample in one.samples)

    def realtime(self, ticks: int) -> int:
        """ns since 1970, from the last sample at or before the ticks (the first, if they are older)."""
        if not self.samples:
            return ticks
        one = self.samples[max(bisect_right(self._ticks, ticks) - 1, 0)]
        return one.realtime + (ticks - one.ticks) * 1_000_000_000 // (one.rate or 1_000_000_000)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clocks) and self.samples == other.samples

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of records: the first is a SEGMENT. ``position``: of its first byte in the ring."""

    position: int
    records: bytes


@dataclass(frozen=True, slots=True)
class Meta:
    """Whose recording this is."""

    trace_id: str
    process_uid: str  # 32 hex digits
    pid: int
    service: str
    resource: dict[str, Any]
    python: str = ""
    level: str = "calls"
    triggers: list[str] = field(default_factory=list)
    part: int = 0  # a later one adds to an earlier one


@dataclass(slots=True)
class Recording:
    """``problems`` says what could not be read: it is left out, the rest holds."""

    meta: Meta
    definitions: Definitions = field(default_factory=Definitions)
    clocks: Clocks = field(default_factory=Clocks)
    slices: list[Slice] = field(default_factory=list)
    losses: list[tuple[int, int]] = field(default_factory=list)  # positions overwritten before they were read
    sources: dict[str, str] = field(default_factory=dict)  # path -> sha256 of the file's bytes, hex
    problems: list[str] = field(default_factory=list)


def write(recording: Recording) -> bytes:
    """The recording as bytes, not yet compressed."""
    found = recording.definitions
    sections = [
        (META, json.dumps(asdict(recording.meta), separators=(",", ":")).encode()),
        (DEFINITIONS, definitions.encode(found.files.items(), found.codes.values(), found.levels)),
        (CLOCK, b"".join(_SAMPLE.pack(*_numbers(one)) for one in recording.clocks.samples)),
        *((SLICE, u64(one.position) + one.records) for one in recording.slices),
        *((LOSS, u64(first) + u64(last)) for first, last in recording.losses),
        (SOURCES, json.dumps(recording.sources, separators=(",", ":")).encode()),
    ]
    return write_sections(sections)


def _numbers(one: Sample) -> tuple[int, int, int, int, int]:
    return one.sequence, one.ticks, one.monotonic, one.realtime, one.rate


def write_sections(sections: Iterable[tuple[int, bytes]]) -> bytes:
    """Sections with magic, checksums and END: for writers that hold definitions and records as bytes already."""
    out = [_MAGIC, bytes([VERSION])]
    count = 0
    for kind, payload in sections:
        out.append(_section(kind, payload))
        count += 1
    out.append(_section(END, count.to_bytes(4, "little")))
    return b"".join(out)


def _section(kind: int, payload: bytes) -> bytes:
    checksum = zlib.crc32(payload, zlib.crc32(struct.pack("<BI", kind, len(payload))))
    return _HEAD.pack(kind, len(payload), checksum) + payload


def read(data: bytes) -> Recording:
    """A recording, as much of it as is whole. BadRecording: not one, or nothing says whose. UnknownVersion."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) <= len(_MAGIC):
        raise BadRecording("not-a-recording", "This is not a recording of ours.", "Recordings begin with ATREC.")
    if (version := data[len(_MAGIC)]) != VERSION:
        raise UnknownVersion(
            "recording-version",
            f"The recording has version {version}; this aftertrace reads version {VERSION}.",
            "Upgrade aftertrace here: readers take older recordings, never newer ones.",
        )
    problems: list[str] = []
    sections = list(_sections(data, problems))
    meta = next((_meta(payload) for kind, payload in sections if kind == META), None)
    if meta is None:
        raise broken("it does not say whose it is")
    recording = Recording(meta, problems=problems)
    for kind, payload in sections:
        try:
            _take(recording, kind, payload)
        except (BadRecording, ValueError, RecursionError) as error:
            problems.append(f"section of type {kind}: {error}")
    return recording


def _sections(data: bytes, problems: list[str]) -> Iterator[tuple[int, bytes]]:
    at, count = len(_MAGIC) + 1, 0
    while at + _HEAD.size <= len(data):
        kind, length, checksum = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        payload = data[at : at + length]
        if len(payload) < length:
            break
        at += length
        if zlib.crc32(payload, zlib.crc32(struct.pack("<BI", kind, length))) != checksum:
            problems.append(f"section {count + 1} has a wrong checksum and was left out")
        elif kind == END:
            said = int.from_bytes(payload, "little")
            if said != count:
                problems.append(f"it has {count} sections where {said} were written")
            return
        else:
            yield kind, payload
        count += 1
    problems.append(f"it ends early, after {count} sections")


def _meta(payload: bytes) -> Meta:
    try:
        data = json.loads(payload)
        return Meta(
            trace_id=str(data["trace_id"]),
            process_uid=str(data["process_uid"]),
            pid=int(data["pid"]),
            service=str(data["service"]),
            resource=dict(data["resource"]),
            python=str(data.get("python", "")),
            level=str(data.get("level", "calls")),
            triggers=[str(one) for one in data.get("triggers", ())],
            part=int(data.get("part", 0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise broken("what it says of itself cannot be read") from None


def _take(recording: Recording, kind: int, payload: bytes) -> None:
    if kind == DEFINITIONS:
        found = definitions.decode(payload)
        recording.definitions.files.update(found.files)
        recording.definitions.codes.update(found.codes)
        recording.definitions.levels += found.levels
        if found.problem:
            recording.problems.append(found.problem)
    elif kind == CLOCK:
        whole = len(payload) // _SAMPLE.size * _SAMPLE.size
        samples = [Sample(*numbers) for numbers in _SAMPLE.iter_unpack(payload[:whole])]
        recording.clocks = Clocks([*recording.clocks.samples, *samples])
    elif kind == SLICE:
        if len(payload) < 8:
            raise broken("a slice has no position")
        recording.slices.append(Slice(int.from_bytes(payload[:8], "little"), payload[8:]))
    elif kind == LOSS:
        if len(payload) != 16:
            raise broken("a loss is not two positions")
        recording.losses.append((int.from_bytes(payload[:8], "little"), int.from_bytes(payload[8:], "little")))
    elif kind == SOURCES:
        recording.sources.update({str(path): str(digest) for path, digest in dict(json.loads(payload)).items()})
