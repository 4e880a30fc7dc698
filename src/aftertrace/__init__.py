"""aftertrace: step through yesterday's production failure, line by line, across every service it touched."""

from __future__ import annotations

__version__ = "0.1.0"
