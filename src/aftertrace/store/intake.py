"""Log records by what they are: recordings, sources, kept marks travel as logs (docs/format.md, "On the wire")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aftertrace.model import Keep, LogRecord
from aftertrace.store import groups
from aftertrace.store.rows import Piece, SourceFile
from aftertrace.wire import zstd

_PIECE_BYTES = 1 << 20
_MOST_PIECES = 4096
SOURCE_BYTES = 16 << 20  # of one file
_KEEP = "aftertrace.keep."
_KEEP_FIELDS = {
    f"{_KEEP}{name}" for name in ("trigger", "reason", "process_uid", "role", "route", "group", "title", "weight", "of")
}
_MOST_TEXT = 300  # code points of a route, or a title
_MOST_WEIGHT = 1e9


@dataclass(slots=True)
class Intake:
    """One batch, sorted; ``problems`` has a sentence for each record that was refused."""

    logs: list[LogRecord] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    sources: list[SourceFile] = field(default_factory=list)
    keeps: list[Keep] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Refused(Exception):
    """Why a record of ours cannot be taken."""


def sort(records: Iterable[LogRecord]) -> Intake:
    """Each record to its kind; what claims to be ours and is not whole is refused."""
    intake = Intake()
    ours: dict[str, Callable[[LogRecord], None]] = {
        "aftertrace.recording": lambda record: intake.pieces.append(_piece(record)),
        "aftertrace.source": lambda record: intake.sources.append(_source(record)),
        "aftertrace.kept": lambda record: intake.keeps.append(_keep(record)),
    }
    for record in records:
        try:
            ours.get(record.event_name, intake.logs.append)(record)
        except _Refused as problem:
            intake.problems.append(f"{record.event_name}: {problem}")
    return intake


def _attribute[Kind: (str, int)](record: LogRecord, name: str, kind: type[Kind]) -> Kind:
    value = record.attributes.get(name)
    if type(value) is not kind:
        raise _Refused(f"attribute {name} is missing or no {kind.__name__}")
    return value


def _hex(text: str, digits: int, what: str) -> str:
    if not _is_hex(text, digits):
        raise _Refused(f"{what} is not {digits} hex digits")
    return text


def _trace(record: LogRecord) -> str:
    if not record.trace_id:
        raise _Refused("it has no trace id")
    return record.trace_id


def _content(record: LogRecord, limit: int) -> bytes:
    if not isinstance(record.body, bytes):
        raise _Refused("its body is not bytes")
    if len(record.body) > limit:
        raise _Refused(f"its body is over {limit} bytes")
    return record.body


def _piece(record: LogRecord) -> Piece:
    piece = _attribute(record, "aftertrace.recording.piece", int)
    pieces = _attribute(record, "aftertrace.recording.pieces", int)
    if not 0 <= piece < pieces <= _MOST_PIECES:
        raise _Refused(f"piece {piece} of {pieces} cannot be")
    return Piece(
        trace_id=_trace(record),
        recording_id=_hex(_attribute(record, "aftertrace.recording.id", str), 32, "the recording's id"),
        piece=piece,
        pieces=pieces,
        process_uid=_hex(_attribute(record, "aftertrace.recording.process_uid", str), 32, "the process uid"),
        service=record.resource.service,
        content=_content(record, _PIECE_BYTES),
    )


def _source(record: LogRecord) -> SourceFile:
    sha256 = _hex(_attribute(record, "aftertrace.source.sha256", str), 64, "the hash")
    content = _content(record, SOURCE_BYTES)
    try:
        data = zstd.decompress(content, SOURCE_BYTES)
    except (ValueError, OverflowError) as error:
        raise _Refused(str(error)) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _Refused("its content does not have the hash that it says")
    return SourceFile(sha256, _attribute(record, "aftertrace.source.path", str), content)


def _keep(record: LogRecord) -> Keep:
    trigger, reason, uid = (_attribute(record, f"{_KEEP}{name}", str) for name in ("trigger", "reason", "process_uid"))
    said = {name.removeprefix(_KEEP): value for name, value in record.attributes.items() if name.startswith(_KEEP)}
    service = record.resource.service
    group, title = groups.of(service, trigger, reason)
    named = _is_hex(said.get("group"), 16)
    role, weight = said.get("role"), said.get("weight")
    return Keep(
        trace_id=_trace(record),
        trigger=trigger,
        reason=reason,
        service=service,
        process_uid=_hex(uid, 32, "the process uid"),
        time_ns=record.time_ns,
        attributes={name: value for name, value in record.attributes.items() if name not in _KEEP_FIELDS},
        role=str(role) if role in {"sibling", "neighbour"} else "failure",
        route=_short(said.get("route")),
        group=str(said["group"]) if named else group,
        title=_short(said.get("title")) or ("" if named else title),
        weight=min(max(float(weight), 1.0), _MOST_WEIGHT) if isinstance(weight, int | float) and weight > 1 else 1.0,
        of=str(said["of"]) if _is_hex(said.get("of"), 32) else "",
        version=_short(record.resource.attributes.get("service.version")),
    )


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and set(value) <= set("0123456789abcdef")


def _short(value: object) -> str:
    return value[:_MOST_TEXT] if isinstance(value, str) else ""
