"""JSON by the interpreter's C functions alone. The ``json`` package and what it imports (``re``, ``enum``) cost the
start of a recorded program 8 ms, and one that is imported on a thread may be torn by a fork."""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False  # typing's own would have to be imported
if TYPE_CHECKING:
    from typing import Any


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON")


class _AsInJson:
    """What ``json.JSONDecoder`` tells its scanner."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)
_scan = make_scanner(_AsInJson())  # type: ignore[arg-type]  # as json.decoder calls it


def dumps(value: Any) -> bytes:
    """As ``json.dumps`` without spaces, in ASCII. TypeError."""
    return "".join(_encode(value, 0)).encode("ascii")


def loads(data: bytes) -> Any:
    """As ``json.loads``, of UTF-8. ValueError; RecursionError for what is nested too deeply."""
    text = data.decode("utf-8").strip(" \t\r\n")
    try:
        value, end = _scan(text, 0)
    except StopIteration:
        raise ValueError("no JSON") from None
    if end != len(text):
        raise ValueError("more than one JSON value")
    return value
