"""What is wrong with a query, and where: the sentence, and under the query a caret at the character."""

from __future__ import annotations

from aftertrace.errors import UsageError

HINT = (
    '{ call.function = "reserve" && arg.qty < 0 }, { exception.type = "KeyError" }, { line = "orders/pricing.py:41" }, '
    "{ span.http.response.status_code >= 500 && duration > 1s }; docs/query.md has all of it."
)
_AROUND = 60  # characters shown before and behind the place


def wrong(text: str, at: int, why: str, hint: str = "") -> UsageError:
    """The error; ``at`` counts characters from 0, ``why`` is a clause without its full stop."""
    first = max(text.rfind("\n", 0, at) + 1, at - _AROUND)
    end = text.find("\n", at)
    last = min(len(text) if end < 0 else end, at + _AROUND)
    before, behind = ("…" if first and text[first - 1] != "\n" else ""), ("…" if last < len(text) else "")
    shown = "".join(one if one.isprintable() else " " for one in text[first:last])
    line = f"  {before}{shown}{behind}"
    caret = " " * (2 + len(before) + at - first) + "^"
    message = f"At position {at + 1} of the query, {why}.\n{line}\n{caret}"
    return UsageError("bad-query", message, hint or f"For example: {HINT}")
