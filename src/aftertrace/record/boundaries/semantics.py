"""What HTTP boundaries have in common of OpenTelemetry's stable semantic conventions."""

from __future__ import annotations

METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "QUERY"})
MOST_URL = 2048  # characters of a URL or path in an attribute


def host(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    name, colon, port = header.rpartition(":")
    return (name if colon and port.isdecimal() else header).strip("[]")


def authority(name: str, port: int | None) -> str:
    """A host and its port as a URL writes them."""
    written = f"[{name}]" if ":" in name else name
    return f"{written}:{port}" if port else written
