"""What people paste for an id: a trace's link, a log line, a traceparent, a UUID, a request's own id."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator

_MOST = 20_000  # code points that are looked at
_UNQUOTINGS = 4  # Grafana's links hold JSON, quoted, in a query that is quoted again
_LEFT, _RIGHT = r"(?<![0-9a-z])", r"(?![0-9a-z])"
_NAMED = re.compile(rf"trace[\s_.-]?id\W{{1,6}}([0-9a-f]{{32}}){_RIGHT}")
_TRACE = re.compile(rf"{_LEFT}([0-9a-f]{{32}}){_RIGHT}")
_UUID = re.compile(rf"{_LEFT}([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}){_RIGHT}")
_SPAN = re.compile(rf"{_LEFT}([0-9a-f]{{16}}){_RIGHT}")
_WORD = re.compile(r"[\w.:/+=@-]{6,200}")
_ZERO = "0"


def labelled(text: str) -> list[str]:
    """Trace ids that the text calls so, first to last."""
    return _found(text, _NAMED)


def traces(text: str) -> list[str]:
    """All that look like trace ids."""
    return list(dict.fromkeys([*labelled(text), *_found(text, _TRACE), *_found(text, _UUID)]))


def spans(text: str) -> list[str]:
    """What looks like span ids."""
    return _found(text, _SPAN)


def word(text: str) -> str:
    """A request's own id, which may be any one word; "" when it is not one."""
    stripped = text.strip()
    return stripped if _WORD.fullmatch(stripped) else ""


def _found(text: str, pattern: re.Pattern[str]) -> list[str]:
    ids = (match[1].replace("-", "") for form in _forms(text) for match in pattern.finditer(form))
    return [one for one in dict.fromkeys(ids) if one.strip(_ZERO)]


def _forms(text: str) -> Iterator[str]:
    """As it is, and unquoted as often as it is quoted."""
    form = text[:_MOST].lower()
    for _ in range(_UNQUOTINGS):
        yield form
        before, form = form, urllib.parse.unquote(form)
        if form == before:
            return
