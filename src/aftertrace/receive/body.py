"""The bytes of a request: read with a cap, unpacked with the same cap (OTLP specification, "OTLP/HTTP Request")."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from aftertrace.errors import BadOtlp, TooLarge, UnsupportedMedia
from aftertrace.wire import zstd

LIMIT = 64 << 20  # bytes, before and after decompression
_DRAINED = 4 * LIMIT  # read and thrown away before a 413, so that the sender lives to read it


async def read(chunks: AsyncIterator[bytes], limit: int = LIMIT) -> bytes:
    """The whole body. Raises TooLarge."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size <= limit:
            parts.append(chunk)
        else:
            parts.clear()
            if size > _DRAINED:
                break
    if size > limit:
        raise _too_large("before", limit)
    return b"".join(parts)


def unpack(body: bytes, encoding: str, limit: int = LIMIT) -> bytes:
    """The body without its Content-Encoding. Raises UnsupportedMedia, TooLarge, BadOtlp."""
    encoding = encoding.strip().lower()
    if encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "zstd"}:
        raise UnsupportedMedia(
            "bad-encoding", f"Content-Encoding {encoding!r} is not taken.", "Send gzip, zstd or none."
        )
    try:
        return zstd.decompress(body, limit) if encoding == "zstd" else _gunzip(body, limit)
    except OverflowError:
        raise _too_large("after", limit) from None
    except (ValueError, zlib.error):
        raise BadOtlp("bad-encoding", f"The body is not whole {encoding} data.", "") from None


def _gunzip(data: bytes, limit: int) -> bytes:
    """All members. ValueError or zlib.error: broken; OverflowError: over the limit."""
    parts: list[bytes] = []
    size = 0
    while True:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(data, limit - size + 1))
        size += len(parts[-1])
        if size > limit:
            raise OverflowError
        if not member.eof:
            raise ValueError("it ends early")
        data = member.unused_data
        if not data:
            return b"".join(parts)


def _too_large(when: str, limit: int) -> TooLarge:
    return TooLarge("too-large", f"The body is over {limit >> 20} MiB {when} decompression.", "Send smaller batches.")
