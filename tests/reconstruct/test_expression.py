"""Expressions over recorded values against Python's own answers on the same objects, and what must be refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aftertrace import _native
from aftertrace.errors import UsageError
from aftertrace.model import Value
from aftertrace.reconstruct.expression import Expression, evaluate
from aftertrace.wire import values


def captured(obj: object, **caps: int) -> Value:
    """The value as the native recorder captures it."""
    return values.decode(_native.encode_value(obj, **caps))[0]


def ask(text: str, names: dict[str, Any], **caps: int) -> Any:
    """The answer as a captured value, or what is unknown."""
    held = {name: captured(obj, **caps) for name, obj in names.items()}
    result = evaluate(text, held.get)
    return result.value if result.value is not None else f"unknown: {result.unknown}"


SMALL = st.one_of(
    st.none(), st.booleans(), st.integers(-99, 99), st.sampled_from([0.5, -2.0, 1e9]), st.text(max_size=5)
)
DATA = st.one_of(SMALL, st.lists(SMALL, max_size=4), st.dictionaries(st.text(max_size=3), SMALL, max_size=4))
TEXTS = [
    "a == b", "a != b", "a and b", "a or b", "not a", "a in [b]", "b if a else a", "a + b", "a * b", "a - b", "-a",
    "a < b", "a <= b", "a // b", "a / b", "a % b", "len(a)", "len(a) > 1 and a", "a[0]", "a[-1]", "a[1:3]", "a[b]",
    "a in b", "b in a", "str(a)", "int(a)", "bool(a)", "abs(a)", "type(a) == type(b)", "max(a, b)", "any(a)", "sum(a)",
    "a is None", "{'k': a}['k']", "(a, b)", "a & b", "0 < a < b",
]  # fmt: skip


@given(st.sampled_from(TEXTS), DATA, DATA)
def test_an_answer_is_python_s_own_answer(text: str, a: Any, b: Any) -> None:
    names = {"a": a, "b": b}
    allowed = {"len": len, "str": str, "int": int, "bool": bool, "abs": abs, "max": max, "any": any, "sum": sum}
    allowed["type"] = lambda one: type(one).__name__
    try:
        expected = eval(text, {"__builtins__": {}}, {**allowed, **names})  # the reference, on this test's own texts
    except Exception:
        with pytest.raises(UsageError):
            ask(text, names)
        return
    try:
        answer = ask(text, names)
    except UsageError:
        return  # less may be asked than Python allows, never something else answered
    if isinstance(answer, str):
        assert answer.startswith("unknown: ")
        return
    assert values.to_json(answer) == values.to_json(captured(expected)) or equal_without_identity(answer, expected)


def equal_without_identity(answer: Value, expected: object) -> bool:
    """What is worked out may be longer than what a capture holds of it: then the capture's part decides."""
    from aftertrace.wire.equality import cut, equal

    whole = captured(expected)
    same = equal(answer, whole)
    return (same is True or (same is None and cut(whole))) and answer.type == type(expected).__name__


def test_an_answer_longer_than_a_capture_is_compared_by_what_the_capture_holds() -> None:
    answer = ask("a * b", {"a": 52, "b": "00000"})
    assert isinstance(answer, Value)
    assert equal_without_identity(answer, "00000" * 52)
    assert not equal_without_identity(answer, "00000" * 51 + "00001x")


@pytest.mark.parametrize(
    "text",
    [
        "open('x')",
        "a.b()",
        "[x for x in a]",
        "lambda: 1",
        "(b := 1)",
        "f'{a}'",
        "__import__('os')",
        "a.__class__()",
        "len(*a)",
        "a +",
    ],
)
def test_what_could_run_code_is_refused_before_any_value_is_read(text: str) -> None:
    def read(name: str) -> Value | None:
        raise AssertionError(name)

    with pytest.raises(UsageError) as caught:
        evaluate(text, read)
    assert caught.value.slug == "bad-expression"
    assert caught.value.hint


@pytest.mark.parametrize("text", ["9 ** 9 ** 9", "1 << 10 ** 9", "'x' * 10 ** 9", "not " * 200 + "a", "1" * 5000])
def test_bombs_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        evaluate(text, {}.get)


def test_what_was_not_captured_is_no_answer() -> None:
    long = list(range(1000))
    assert ask("a[999]", {"a": long}, items=4).startswith("unknown: not captured")
    assert ask("1000 in a", {"a": long}, items=4).startswith("unknown: not captured")
    assert ask("2 in a", {"a": long}, items=4) == captured(True)
    assert ask("len(a)", {"a": long}, items=4) == captured(1000)
    assert ask("a['password'] == 'x'", {"a": {"password": "x"}}).startswith("unknown: ")
    assert ask("a[0][0] == 1", {"a": [[1]]}, depth=1).startswith("unknown: not captured: ")


def test_holds_is_true_only_for_what_is_proven() -> None:
    held = {"a": captured([1, 2, 3], items=1)}
    assert Expression("len(a) == 3").holds(held.get)
    assert not Expression("a[2] == 3").holds(held.get)
    assert not Expression("a[2] != 3").holds(held.get)
    assert not Expression("nothing_there").holds(held.get)
