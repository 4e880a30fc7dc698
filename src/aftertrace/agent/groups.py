"""Failure groups: which failures are one, by where their exception was raised, and what people call them."""

from __future__ import annotations

import hashlib
import posixpath

from aftertrace.agent.part import Part
from aftertrace.agent.requests import Origin
from aftertrace.agent.walk import HEAD, code_of, read_varint, walk
from aftertrace.agent.watch import DEATH, KEEP, Trigger
from aftertrace.errors import BadRecording
from aftertrace.wire import linetable
from aftertrace.wire.definitions import CodeDefinition
from aftertrace.wire.kinds import Kind


def identify(trigger: Trigger, service: str, route: str, reason: str, part: Part | None) -> tuple[str, str]:
    """(16 hex digits, title). An exception counts by its type, file, function and line, on whatever route."""
    if trigger.origin is not None:
        kind = trigger.origin.type.rpartition(".")[2]
        place = locate(part, trigger.origin) if part is not None else None
        if place is not None:
            path, line, function = place
            title = f"{kind} at {posixpath.basename(path)}:{line} {function}"
            return _hash(service, trigger.name, trigger.origin.type, path, str(line)), title
        return _hash(service, trigger.name, trigger.origin.type), f"{kind} in {service}"
    if trigger.name == DEATH:
        return _hash(service, DEATH), f"death of {service}"
    said = reason.split(":", 1)[0].strip()[:120]
    if trigger.name == KEEP:
        return _hash(service, KEEP, said), f"keep: {said}"
    shown = trigger.name if trigger.reason and trigger.name != "error-log" else said
    return _hash(service, trigger.name, shown, route), f"{shown}: {route}" if route else shown


def _hash(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8).hexdigest()


def locate(part: Part, origin: Origin) -> tuple[str, int, str] | None:
    """(path, line, function) of an instruction of a frame, if the recording begins early enough to name its code."""
    for one in part.slices:
        for kind, start, _, _, _ in walk(one.records):
            if kind in {Kind.START, Kind.FRAME} and _activation(kind, one.records, start) == origin.activation:
                code = part.definitions.codes.get(code_of(kind, one.records, start))
                return _place(part, code, origin.lasti) if code is not None else None
    return None


def _activation(kind: int, records: bytes, start: int) -> int:
    try:
        at = start + HEAD
        if kind == Kind.START:
            _, at = read_varint(records, at)
        return read_varint(records, at)[0]
    except IndexError:
        return 0


def _place(part: Part, code: CodeDefinition, lasti: int) -> tuple[str, int, str]:
    try:
        line = linetable.lines(code.linetable, code.first_line).get(lasti, code.first_line)
    except BadRecording:
        line = code.first_line
    return part.definitions.files.get(code.file_id, "?"), line, code.qualname.rpartition(".")[2]
