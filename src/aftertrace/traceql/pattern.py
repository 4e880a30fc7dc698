"""Regular expressions of ``=~``: RE2's, as the store's engine has them, in time linear in the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from aftertrace.errors import NotInstalled

LONGEST = 500  # code points of an expression
_MEMORY = 1 << 20  # bytes that a compiled one may have: RE2 refuses what needs more, such as (a{1000}){1000}


class BadPattern(ValueError):
    """It cannot be read; the text says why."""


class Pattern(Protocol):
    def fullmatch(self, text: bytes) -> object | None: ...


def anchored(text: str) -> str:
    """The whole text must match, as in TraceQL; ``.`` stands for a line end, too."""
    return f"\\A(?s:{text})\\z"


@lru_cache(maxsize=64)
def compiled(text: str) -> Pattern:
    """Raises BadPattern, NotInstalled."""
    try:
        import re2  # noqa: PLC0415  # of the server extra
    except ImportError:
        raise NotInstalled(
            "no-server-parts", "Queries are judged by the server's parts.", "pip install 'aftertrace[server]'"
        ) from None
    if len(text) > LONGEST:
        raise BadPattern(f"it is longer than {LONGEST} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.never_capture = True
    try:
        re2.compile(text.encode(), options)  # alone: what is put around it must not complete it
        found: Pattern = re2.compile(anchored(text).encode(), options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise BadPattern(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None
    return found


def matches(text: str, pattern: str) -> bool:
    """Whether a whole text fits. What is no text in UTF-8 has question marks in its place, as in the store."""
    return compiled(pattern).fullmatch(text.encode("utf-8", "replace")) is not None
