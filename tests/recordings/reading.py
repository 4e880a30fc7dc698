"""A recording as today's reader understands it, as JSON: what stands beside each golden recording."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, is_dataclass
from typing import Any

from aftertrace.model import Value
from aftertrace.reconstruct.build import build
from aftertrace.wire import linetable, recording, records, values, zstd
from aftertrace.wire.bundle import TraceData

LIMIT = 64 << 20


def reading(packed: bytes) -> dict[str, Any]:
    """Meta, definitions, records and steps. ``packed``: as it stands in the file."""
    data = zstd.decompress(packed, LIMIT)
    read = recording.read(data)
    codes = read.definitions.codes.values()
    return {
        "meta": _json(read.meta),
        "problems": read.problems,
        "sources": read.sources,
        "losses": [list(loss) for loss in read.losses],
        "clocks": [_json(sample) for sample in read.clocks.samples],
        "files": {str(number): path for number, path in read.definitions.files.items()},
        "codes": [
            [
                *(one.id, one.file_id, one.qualname, one.first_line, one.flags, one.positional, one.positional_only),
                *(one.keyword_only, [list(name) for name in one.names]),
                sorted(linetable.lines(one.linetable, one.first_line).items()),
            ]
            for one in codes
        ],
        "slices": [
            [piece.position, [_json(record) for record in records.decode(piece.records, base_ticks=0)]]
            for piece in read.slices
        ],
        "steps": _steps(read.meta.trace_id, data),
    }


def _json(thing: Any) -> Any:
    if isinstance(thing, Value):
        return values.to_json(thing)
    if is_dataclass(thing):
        held = [[field.name, _json(getattr(thing, field.name))] for field in fields(thing)]
        return [type(thing).__name__, *held]
    if isinstance(thing, list | tuple):
        return [_json(item) for item in thing]
    return thing


def _steps(trace_id: str, data: bytes) -> list[Any]:
    """[kind, function, line, value, text, digest of the locals] of each step: their values stand in the records."""
    execution = build(TraceData(trace_id, recordings=[data]))
    found = []
    for step in execution.steps:
        frame = execution.frame(step)
        held = execution.locals_at(frame, step.index) if frame else {}
        names = {name: values.to_json(binding.value) for name, binding in sorted(held.items())}
        value = values.to_json(step.value) if step.value else None
        digest = hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:8] if names else ""
        found.append([str(step.kind), frame.code.qualname if frame else "", step.line, value, step.text, digest])
    return found
