"""Whether a captured value is another than the one that is known."""

from __future__ import annotations

from aftertrace.model import Missing, Value, ValueKind


def is_news(known: Value | None, value: Value) -> bool:
    """Whether a captured value says more than, or something else than, the one that is known."""
    if known is None:
        return True
    if value.missing in {
        Missing.SIZE,
        Missing.TIMEOUT,
    }:  # the record's room was spent: the value may be whole elsewhere
        if value.kind is ValueKind.MISSING:
            return known.type != value.type
        return known.identity != value.identity or known.size != value.size or known.type != value.type
    return not identical(known, value)


def identical(a: Value, b: Value) -> bool:
    """The same in every recorded respect; unlike ``==`` it tells 0.0 from -0.0, and nan is itself."""
    if (
        a.kind is not b.kind
        or a.type != b.type
        or a.size != b.size
        or a.identity != b.identity
        or a.missing != b.missing
    ):
        return False
    if a.kind is ValueKind.SCALAR or not (a.items or a.entries or a.attributes):
        exact = isinstance(a.scalar, float | complex)
        return (
            repr(a.scalar) == repr(b.scalar)
            if exact
            else a.scalar == b.scalar and not (b.items or b.entries or b.attributes)
        )
    if len(a.items) != len(b.items) or len(a.entries) != len(b.entries) or len(a.attributes) != len(b.attributes):
        return False
    return (
        a.scalar == b.scalar
        and all(map(identical, a.items, b.items))
        and all(identical(j, k) and identical(v, w) for (j, v), (k, w) in zip(a.entries, b.entries, strict=True))
        and all(m == n and identical(v, w) for (m, v), (n, w) in zip(a.attributes, b.attributes, strict=True))
    )
