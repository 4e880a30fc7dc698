"""Bodies are read and unpacked within their caps, whatever they claim."""

import asyncio
import gzip
import zlib

import pytest

from aftertrace.errors import BadOtlp, TooLarge, UnsupportedMedia
from aftertrace.receive import body
from aftertrace.wire import zstd

COMPRESSIONS = [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)]
DATA = b"some spans " * 1000


def read(*chunks: bytes, limit: int) -> bytes:
    async def stream():
        for chunk in chunks:
            yield chunk

    return asyncio.run(body.read(stream(), limit))


def test_reading_stops_at_the_cap():
    assert read(b"ab", b"c", limit=3) == b"abc"
    with pytest.raises(TooLarge) as caught:
        read(b"ab", b"cd", limit=3)
    assert caught.value.http_status == 413


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("", DATA),
        ("identity", DATA),
        ("gzip", gzip.compress(DATA, mtime=0)),
        (" GZIP ", gzip.compress(DATA[:500], mtime=0) + gzip.compress(DATA[500:], mtime=0)),
        ("zstd", zstd.compress(DATA)),
        ("deflate", zlib.compress(DATA)),
        ("deflate", zlib.compress(DATA, wbits=-15)),  # as some send it
    ],
)
def test_encodings(encoding, packed):
    assert body.unpack(packed, encoding) == DATA


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "x-gzip"])
def test_other_encodings_are_named(encoding):
    with pytest.raises(UnsupportedMedia, match="is not taken"):
        body.unpack(DATA, encoding)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSIONS)
def test_the_cap_holds_after_decompression(encoding, compress):
    packed = compress(bytes(3 << 20))
    assert len(body.unpack(packed, encoding, 3 << 20)) == 3 << 20
    with pytest.raises(TooLarge, match="2 MiB after decompression"):
        body.unpack(packed, encoding, 2 << 20)


@pytest.mark.parametrize(("encoding", "compress"), COMPRESSIONS)
def test_every_truncation_is_bad(encoding, compress):
    packed = compress(DATA)
    for cut in range(len(packed)):
        with pytest.raises(BadOtlp):
            body.unpack(packed[:cut], encoding)
    with pytest.raises(BadOtlp):
        body.unpack(packed + b"rest", encoding)
