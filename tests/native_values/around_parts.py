"""What the tests of Around and Template have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from aftertrace._native import Around, Span, Template, attach, call_through, detach

STATEMENT = Template("SELECT", 3, {"db.query.text": "SELECT 1"}, "test")
BASE = Template("", 3, {"db.system.name": "sqlite"})

type Calls = list[tuple[Any, ...]]


class Failures:
    """Who counts what fails."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, BaseException]] = []

    def __call__(self, name: str, error: Exception) -> None:
        self.seen.append((name, error))


def instead(original: Callable[..., Any], call: Around) -> Callable[..., Any]:
    @wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return call(*args, **kwargs)

    return call_through(wrapper)


def nothing(*_: Any) -> None:
    return None


def spanned(original: Callable[..., Any], failed: Callable[..., Any] = nothing, **how: Any) -> Around:
    how = {"begin": lambda *_: (STATEMENT, BASE), "end": lambda span, *_: span.end(), "spans": True} | how
    return Around(original, "test", failed, how.pop("begin"), how.pop("end"), **how)


@contextmanager
def within_a_span() -> Iterator[Span]:
    span = Span("above", 2)
    token = attach(span)
    try:
        yield span
    finally:
        detach(token)
        span.end()


def work(a: Any, b: Any = 2, *rest: Any, key: Any = None, **more: Any) -> tuple[Any, ...]:
    """Its words."""
    return a, b, rest, key, more
