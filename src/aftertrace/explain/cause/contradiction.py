"""Whether what was recorded explains the exception: no line is proven that could not have failed with its values."""

from __future__ import annotations

import ast

from aftertrace.explain.cause.suspects import Site
from aftertrace.explain.scene.likeness import parts, same
from aftertrace.explain.scene.scene import Scene
from aftertrace.model import Value, ValueKind
from aftertrace.reconstruct.text import short_type
from aftertrace.wire.equality import content, cut

# Raised for what happens around a line, not for a value in it.
_AROUND = {"RecursionError", "MemoryError", "TimeoutError", "KeyboardInterrupt", "SystemExit", "CancelledError"}


def doubt(scene: Scene, where: Site, exception: Value | None) -> str:
    """Why the failing line's values are not proven to be the reason; "" when nothing speaks against them."""
    if exception is None:
        return ""
    kind = exception.type.rpartition(".")[2]
    if kind in _AROUND:
        return f"{short_type(exception.type)} is seldom raised for a value"
    if _explains(scene, where, kind, exception):
        return ""
    return f"the values that were recorded there do not explain {short_type(exception.type)}: one of them is older"


def _explains(scene: Scene, where: Site, kind: str, exception: Value) -> bool:
    """False only where the values are known and the line would not have failed with them."""
    match where.node:
        case ast.BinOp(right=right, op=ast.Div() | ast.FloorDiv() | ast.Mod()) if kind == "ZeroDivisionError":
            return not _nonzero(scene.evaluate(where.point, right))
        case ast.AugAssign(value=right, op=ast.Div() | ast.FloorDiv() | ast.Mod()) if kind == "ZeroDivisionError":
            return not _nonzero(scene.evaluate(where.point, right))
        case ast.Subscript(value=container, slice=key) if kind in {"KeyError", "IndexError"}:
            held, index = scene.evaluate(where.point, container), scene.evaluate(where.point, key)
            return _may_be_named(index, exception) if kind == "KeyError" else _outside(held, index)
        case ast.Attribute(value=inner) if kind == "AttributeError" and _says(exception, "'NoneType' object"):
            held = scene.evaluate(where.point, inner)
            return held is None or _open(held) or content(held).type == "NoneType"
        case _:
            return True


def _open(value: Value) -> bool:
    return value.kind in {ValueKind.MISSING, ValueKind.REDACTED}


def _nonzero(value: Value | None) -> bool:
    number = content(value).scalar if value is not None and not _open(value) else None
    return isinstance(number, int | float) and number != 0


def _may_be_named(index: Value | None, exception: Value) -> bool:
    """Whether the key may be the one that the exception names."""
    named = [one for _, one in parts(Value(ValueKind.SEQUENCE, "tuple", items=exception.items))][:1]
    if index is None or not named or exception.type != "KeyError" or content(index).kind is not ValueKind.SCALAR:
        return True
    return same(index, named[0]) is not False


def _outside(held: Value | None, index: Value | None) -> bool:
    """Whether the index may be outside of the sequence."""
    number = content(index).scalar if index is not None else None
    whole = content(held) if held is not None else None
    if not isinstance(number, int) or whole is None or whole.kind is not ValueKind.SEQUENCE or whole.size is None:
        return True
    return not -whole.size <= number < whole.size


def _says(exception: Value, words: str) -> bool:
    texts = [content(one) for one in exception.items if not cut(one)]
    return any(isinstance(one.scalar, str) and words in one.scalar for one in texts)
