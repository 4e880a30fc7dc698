"""Attribute values as JSON that gives back the same type: the bundle and the store write them so.

Plain JSON says str, bool, None, list; ints and floats differ by their spelling (``1``, ``1.0``). The rest is an object
with one key that begins with ``$``: bytes ``{"$bytes": base64}``, floats that JSON has no word for
``{"$float": "nan"}``, and a map whose own keys begin with ``$`` is wrapped as ``{"$map": {...}}``.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from aftertrace.model import Attributes, AttributeValue

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_json(value: AttributeValue) -> Any:
    """One value as plain JSON data."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    entries = {key: to_json(item) for key, item in value.items()}
    return {"$map": entries} if any(key.startswith("$") for key in entries) else entries


def from_json(data: Any) -> AttributeValue:
    """What to_json() was given. ValueError: it did not write this."""
    if isinstance(data, list):
        return [from_json(item) for item in data]
    if not isinstance(data, dict):
        return data  # type: ignore[no-any-return]  # str, bool, int, float, None: as they are
    if len(data) == 1:
        ((key, inner),) = data.items()
        if key.startswith("$"):
            return _tagged(key, inner)
    return {key: from_json(item) for key, item in data.items()}


def _tagged(key: str, inner: Any) -> AttributeValue:
    try:
        if key == "$bytes":
            return base64.b64decode(inner, validate=True)
        if key == "$float":
            return float(inner)
        if key == "$map":
            return {name: from_json(item) for name, item in inner.items()}
    except (TypeError, AttributeError, binascii.Error) as error:
        raise ValueError(f"{key}: {error}") from None
    raise ValueError(f"unknown kind of value {key}")


def dumps(attributes: Attributes) -> str:
    """A map of attributes as text."""
    if not attributes:
        return "{}"
    return _encoder.encode(to_json(attributes))


def map_from_json(data: Any) -> Attributes:
    """from_json() of a map. ValueError: it is none."""
    value = from_json(data)
    if not isinstance(value, dict):
        raise ValueError("attributes are no map")  # noqa: TRY004  # broken data, not a caller's mistake
    return value


def loads(text: str) -> Attributes:
    """What dumps() was given. ValueError: it did not write this."""
    return map_from_json(json.loads(text))


def dump_list(items: list[Any]) -> str:
    """JSON data that already is plain, as text."""
    return _encoder.encode(items) if items else "[]"
