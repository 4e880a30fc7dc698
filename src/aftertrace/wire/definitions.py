"""What a process's records refer to: files and code objects (docs/format.md, "Definitions")."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aftertrace.errors import BadRecording
from aftertrace.wire.primitives import Reader, text, varint

FILE, CODE, LEVEL = 1, 2, 3
LOCAL, CELL, FREE, ARGUMENT, REDACTED = 1, 2, 4, 8, 16  # flags of a name


@dataclass(frozen=True, slots=True)
class CodeDefinition:
    """A code object, as its process defined it."""

    id: int
    file_id: int
    name: str
    qualname: str
    first_line: int
    flags: int  # co_flags
    positional: int
    positional_only: int
    keyword_only: int
    names: tuple[tuple[str, int], ...]  # name, flags
    linetable: bytes


EXCEPTIONS = 0  # instead of a code's id: the level says which events of exceptions are on, in all code
CAUSES = {1: "budget", 2: "cold", 3: "focus", 4: "start", 5: "long"}


@dataclass(frozen=True, slots=True)
class LevelChange:
    """From ``ticks`` on, a code object is recorded at this level: 0 spans (nothing of it), 1 calls, 2 lines. Code that
    has none is at its process's level.

    Of EXCEPTIONS: 3 all events, 2 without those of handling, 1 unwinding only, 0 none.
    """

    code: int
    level: int
    cause: int  # of CAUSES
    ticks: int


@dataclass(slots=True)
class Definitions:
    """By id; ``levels`` in the order in which they changed. ``problem`` says where reading ended early, "" when it did
    not."""

    files: dict[int, str] = field(default_factory=dict)
    codes: dict[int, CodeDefinition] = field(default_factory=dict)
    levels: list[LevelChange] = field(default_factory=list)
    problem: str = ""


def decode(data: bytes) -> Definitions:
    """All whole definitions; one that is broken ends them and is told in ``problem``. Unknown kinds are skipped."""
    found = Definitions()
    reader = Reader(data)
    try:
        while reader.left():
            kind, length = reader.u8(), int.from_bytes(reader.raw(4), "little")
            end = reader.at + length
            body = Reader(reader.raw(length))
            if kind == FILE:
                number = body.varint()
                found.files[number] = body.text()
            elif kind == CODE:
                code = _code(body)
                found.codes[code.id] = code
            elif kind == LEVEL:
                number, level, cause = body.varint(), body.u8(), body.u8()
                found.levels.append(LevelChange(number, level, cause, int.from_bytes(body.raw(8), "little")))
            reader.at = end
    except BadRecording as error:
        found.problem = error.message
    return found


def _code(body: Reader) -> CodeDefinition:
    number, file_id, name, qualname = body.varint(), body.varint(), body.text(), body.text()
    first_line, flags, positional, positional_only, keyword_only = (body.varint() for _ in range(5))
    names = tuple([(body.text(), body.u8()) for _ in range(body.count(2))])
    table = body.raw(body.varint())
    return CodeDefinition(
        number, file_id, name, qualname, first_line, flags, positional, positional_only, keyword_only, names, table
    )


def encode(
    files: Iterable[tuple[int, str]], codes: Iterable[CodeDefinition], levels: Iterable[LevelChange] = ()
) -> bytes:
    """Definitions as the ring holds them."""
    out = [_framed(FILE, varint(number) + text(path)) for number, path in files]
    out += [_framed(CODE, _code_body(code)) for code in codes]
    out += [_framed(LEVEL, _level_body(change)) for change in levels]
    return b"".join(out)


def _level_body(change: LevelChange) -> bytes:
    return varint(change.code) + bytes([change.level, change.cause]) + change.ticks.to_bytes(8, "little")


def _framed(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(4, "little") + body


def _code_body(code: CodeDefinition) -> bytes:
    head = varint(code.id) + varint(code.file_id) + text(code.name) + text(code.qualname)
    numbers = (code.first_line, code.flags, code.positional, code.positional_only, code.keyword_only, len(code.names))
    names = b"".join(text(name) + bytes([flags]) for name, flags in code.names)
    return head + b"".join(map(varint, numbers)) + names + varint(len(code.linetable)) + code.linetable
