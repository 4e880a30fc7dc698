"""Failures as the OTLP specification wants them: a ``google.rpc.Status`` in the encoding of the request.

Both encodings are written here by hand: the message has three fields, and its Python package is not needed otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from aftertrace.errors import AftertraceError

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
RETRY_AFTER_S = 1

# HTTP status -> gRPC code (google/rpc/code.proto)
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 413: 8, 415: 3, 429: 8, 503: 14}
_INTERNAL = 13
_RETRYABLE = {429, 503}
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    408: {"Connection": "close"},  # what is left of the body would be taken for the next request
    413: {"Connection": "close"},
    429: {"Retry-After": str(RETRY_AFTER_S)},
    503: {"Retry-After": str(RETRY_AFTER_S)},
}


def code(http_status: int) -> int:
    """The gRPC code that says the same."""
    return _CODES.get(http_status, _INTERNAL)


def sentence(error: AftertraceError) -> str:
    """What a sender is told of a failure of ours."""
    return f"{error.message} {error.hint}".strip()


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def encode(http_status: int, message: str) -> bytes:
    """``Status{code = 1: int32, message = 2: string, details = 3: Any}`` as protobuf."""
    text = message.encode("utf-8", "replace")
    out = b"\x08" + _varint(code(http_status)) + _field(2, text)
    if http_status in _RETRYABLE:  # RetryInfo{retry_delay = 1: Duration{seconds = 1}}
        out += _detail(_RETRY_INFO, _field(1, b"\x08" + _varint(RETRY_AFTER_S)))
    if http_status == 400:  # BadRequest{field_violations = 1: {description = 2}}
        out += _detail(_BAD_REQUEST, _field(1, _field(2, text)))
    return out


def _detail(kind: str, content: bytes) -> bytes:
    """``Any{type_url = 1, value = 2}``."""
    return _field(3, _field(1, kind.encode()) + _field(2, content))


def _json(http_status: int, message: str) -> bytes:
    said: dict[str, Any] = {"code": code(http_status), "message": message}
    if http_status in _RETRYABLE:
        said["details"] = [{"@type": _RETRY_INFO, "retryDelay": f"{RETRY_AFTER_S}s"}]
    if http_status == 400:
        said["details"] = [{"@type": _BAD_REQUEST, "fieldViolations": [{"description": message}]}]
    return json.dumps(said).encode()


def failure(http_status: int, message: str, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that was not taken; 429 and 503 say when to come again."""
    media_type, make = (JSON, _json) if kind == JSON else (PROTOBUF, encode)
    more = {**_HEADERS.get(http_status, {}), **(headers or {})}
    return Response(make(http_status, message), http_status, more, media_type)
