"""The bytes of a request: read with a cap, unpacked with the same cap (OTLP specification, "OTLP/HTTP Request")."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable

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
    decode = _DECODERS.get(encoding)
    if decode is None:
        hint = f"Send {', '.join(ENCODINGS)} or none."
        raise UnsupportedMedia("bad-encoding", f"Content-Encoding {encoding[:80]!r} is not taken.", hint)
    try:
        return decode(body, limit)
    except OverflowError:
        raise _too_large("after", limit) from None
    except (ValueError, zlib.error):
        raise BadOtlp("bad-body", f"The body is not whole {encoding} data.", "") from None


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


def _inflate(data: bytes, limit: int) -> bytes:
    """``deflate`` is zlib's format (RFC 9110), though some send it without its header. Errors as _gunzip()."""
    wrapped = len(data) >= 2 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
    stream = zlib.decompressobj(wbits=15 if wrapped else -15)
    out = stream.decompress(data, limit + 1)
    if len(out) > limit:
        raise OverflowError
    if not stream.eof or stream.unused_data:
        raise ValueError("it ends early, or goes on")
    return out


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "deflate": _inflate,
    "zstd": zstd.decompress,
}
ENCODINGS = tuple(_DECODERS)


def _too_large(when: str, limit: int) -> TooLarge:
    return TooLarge("too-large", f"The body is over {limit >> 20} MiB {when} decompression.", "Send smaller batches.")
