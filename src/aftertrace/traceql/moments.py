"""Moments as people write them: ``15m`` ago, or a time in ISO 8601."""

from __future__ import annotations

import re
from datetime import datetime

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s|m|h|d)")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_LATEST = 2**63 - 1


def duration(text: str) -> int | None:
    """Nanoseconds of ``250ms``, ``1.5s``; None: it is no span of time."""
    match = _DURATION.fullmatch(text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else None


def moment(text: str, now_ns: int) -> int | None:
    """ns since 1970, not before; None: it is neither. Without a zone it is this machine's time."""
    ago = duration(text)
    if ago is not None:
        return max(0, now_ns - ago)
    try:
        return min(max(0, int(datetime.fromisoformat(text).astimezone().timestamp() * 10**6) * 1000), _LATEST)
    except (ValueError, OverflowError, OSError):
        return None
