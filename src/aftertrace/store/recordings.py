"""Pieces -> whole recordings, and the sources that they name."""

from __future__ import annotations

import io
import itertools
import json
import struct
import tokenize
from collections.abc import Iterable, Iterator

from aftertrace.store.read import Row
from aftertrace.wire import zstd

LIMIT = 1 << 30  # bytes of one recording, decompressed
_MAGIC = 8  # bytes, the version included
_SECTION = struct.Struct("<BII")  # type, length, CRC
_SOURCES = 6


def assemble(pieces: Iterable[Row]) -> tuple[list[bytes], list[str]]:
    """Rows of PIECES, in order -> (recordings, decompressed; what is wrong with the others, in sentences)."""
    recordings: list[bytes] = []
    problems: list[str] = []
    for recording_id, group in itertools.groupby(pieces, key=lambda row: row["recording_id"]):
        rows = list(group)
        first = rows[0]
        name = f"Recording {recording_id.hex()[:8]} of {first['service']} (process {first['process_uid'].hex()[:8]})"
        if len(rows) != first["pieces"]:
            problems.append(f"{name} is incomplete: {len(rows)} of {first['pieces']} pieces arrived.")
            continue
        try:
            recordings.append(zstd.decompress(b"".join(row["content"] for row in rows), LIMIT))
        except (ValueError, OverflowError) as error:
            problems.append(f"{name} cannot be read: {error}.")
    return recordings, problems


def source_hashes(recordings: Iterable[bytes]) -> list[str]:
    """The sha256 (hex) of every source that the recordings' SOURCES sections name."""
    hashes: set[str] = set()
    for recording in recordings:
        for payload in _sections(recording, _SOURCES):
            try:
                named = json.loads(payload)
            except ValueError:
                continue  # whoever reads the recording reports the broken section
            if isinstance(named, dict):
                hashes.update(text for text in named.values() if isinstance(text, str) and _is_hash(text))
    return sorted(hashes)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _sections(recording: bytes, wanted: int) -> Iterator[bytes]:
    position = _MAGIC
    while position + _SECTION.size <= len(recording):
        kind, length, _ = _SECTION.unpack_from(recording, position)
        position += _SECTION.size
        if kind == wanted:
            yield recording[position : position + length]
        position += length


def source_text(data: bytes) -> str:
    """A source file as Python reads it: its declared encoding (PEP 263), else UTF-8; what does not fit is replaced."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:
        encoding = "utf-8"
    return data.decode(encoding, "replace")
