"""Pages of rows behind a cursor: an order that goes on where the cursor ends passes over rows that are equal in it."""

from __future__ import annotations

import ast
import re

from aftertrace.explain import texts

_CURSOR = re.compile(r"\b([A-Za-z_][\w.]*)\s*[<>]\s*(?:\?|%s|%\(\w+\)s|:\w+|\$\d+)", re.IGNORECASE)
_ORDER = re.compile(r"\bORDER\s+BY\s+(.+?)(?:\bLIMIT\b|\bFETCH\b|$)", re.IGNORECASE | re.DOTALL)
_LIMIT = re.compile(r"\b(?:LIMIT|FETCH)\b", re.IGNORECASE)
_LONGEST = 20_000  # of a text that is looked at


def passes_over(statement: ast.stmt) -> str:
    """``WHERE a > ? ORDER BY a, b LIMIT ?``; "" for any other text."""
    for node in texts.own_nodes(statement):
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or len(text) > _LONGEST or not _LIMIT.search(text):
            continue
        ordered = _ORDER.search(text)
        columns = [one.split()[0].lower() for one in ordered[1].split(",") if one.split()] if ordered else []
        cursors = [found.lower() for found in _CURSOR.findall(text)]
        if len(columns) > 1 and cursors == columns[:1]:
            order = ", ".join(columns)
            return f"pages go on behind {cursors[0]}, in the order of {order}: rows equal to a page's last are left out"
    return ""
