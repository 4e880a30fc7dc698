"""Failures as the OTLP specification wants them: a ``google.rpc.Status`` in the encoding of the request."""

from __future__ import annotations

import json

from starlette.responses import Response

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RETRY_AFTER_S = 1

# HTTP status -> gRPC code (google/rpc/code.proto)
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
_INTERNAL = 13


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode(code: int, message: str) -> bytes:
    """``Status{code = 1: int32, message = 2: string}`` as protobuf."""
    text = message.encode("utf-8", "replace")
    return b"\x08" + _varint(code) + b"\x12" + _varint(len(text)) + text


def failure(http_status: int, message: str, media_type: str) -> Response:
    """The answer to a request that was not taken; 503 says when to come again."""
    code = _CODES.get(http_status, _INTERNAL)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if http_status in {429, 503} else {}
    if media_type == JSON:
        body = json.dumps({"code": code, "message": message}).encode()
    else:
        media_type, body = PROTOBUF, encode(code, message)
    return Response(body, http_status, headers, media_type)
