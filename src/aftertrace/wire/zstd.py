"""Zstandard, bounded: what came from elsewhere may claim any size."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 14):
    from compression import zstd as _zstd
else:
    from backports import zstd as _zstd


def compress(data: bytes, level: int = 3) -> bytes:
    """One frame."""
    return _zstd.compress(data, level)


def decompress(data: bytes, limit: int) -> bytes:
    """All frames of ``data``, one after the other.

    ValueError: not zstd, or it ends early. OverflowError: more than ``limit`` bytes come out.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        frame = _zstd.ZstdDecompressor()
        try:
            parts.append(frame.decompress(data, max_length=limit - size + 1))
        except _zstd.ZstdError as error:
            raise ValueError(f"not a zstd frame: {error}") from None
        size += len(parts[-1])
        if size > limit:
            raise OverflowError(f"more than {limit} bytes after decompression")
        if not frame.eof:
            raise ValueError("the zstd frame ends early")
        data = frame.unused_data
        if not data:
            return b"".join(parts)
