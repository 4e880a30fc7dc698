"""Units of time that names tell, and where two of them are mixed: ``time.time() - began > TTL_MS``."""

from __future__ import annotations

import ast
import re

_SUFFIXES = {
    "ns": "nanoseconds", "nanos": "nanoseconds", "us": "microseconds", "micros": "microseconds",
    "ms": "milliseconds", "millis": "milliseconds", "msec": "milliseconds", "milliseconds": "milliseconds",
    "s": "seconds", "sec": "seconds", "secs": "seconds", "seconds": "seconds",
    "min": "minutes", "mins": "minutes", "minutes": "minutes", "hours": "hours", "days": "days",
}  # fmt: skip
_CLOCKS = {"time": "seconds", "monotonic": "seconds", "perf_counter": "seconds", "process_time": "seconds",
           "time_ns": "nanoseconds", "monotonic_ns": "nanoseconds", "perf_counter_ns": "nanoseconds"}  # fmt: skip


def mixed(statement: ast.stmt) -> str:
    """``seconds are held against milliseconds``; "" where no units, or one only, are told."""
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        pair: list[ast.expr] = []
        if isinstance(node, ast.Compare) and len(node.comparators) == 1:
            pair = [node.left, node.comparators[0]]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            pair = [node.left, node.right]
        told = [unit(one) for one in pair]
        if len(told) == 2 and all(told) and told[0] != told[1]:
            return f"{told[0]} ({ast.unparse(pair[0])}) are held against {told[1]} ({ast.unparse(pair[1])})"
        stack.extend(n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.stmt | ast.excepthandler))
    return ""


def unit(node: ast.expr) -> str:
    """What an expression is counted in, by its names; "" where they do not say, or a factor may convert it."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _named(name)
        case ast.Subscript(slice=ast.Constant(value=str() as name)):
            return _named(name)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr=name)) | ast.Call(func=ast.Name(id=name)):
            return _CLOCKS.get(name, "") or _named(name)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right):
            return unit(left) or unit(right)
        case _:
            return ""


def _named(name: str) -> str:
    words = re.split(r"[_\W]+", name)
    return _SUFFIXES.get(words[-1].lower(), "") if len(words) > 1 else ""
