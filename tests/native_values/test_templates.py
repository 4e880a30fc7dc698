"""Templates (template.c): what spans that come again and again are born with, written once."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from around_parts import BASE, STATEMENT, Calls, spanned, within_a_span
from native_decoder import records_of, ring_of

from aftertrace import _native
from aftertrace._native import Known, Template, current


def test_what_a_template_writes_is_what_a_span_of_those_words_writes(tmp_path: Path) -> None:
    attributes = {"db.query.text": "SELECT 'é'", "n": 5, "many": ["a", "b"], "password": "p"}
    found = records_of(
        ring_of(
            f"""
from aftertrace._native import Span, Template, attach
above = Span("above", 2)
attach(above)
Span("a statement", 3, None, {attributes!r} | {{"db.system.name": "x"}}, None, None, "scope").end()
Template("a statement", 3, {attributes!r}, "scope").span(Template("", 3, {{"db.system.name": "x"}})).end()
""",
            tmp_path / "ring",
        )
    )
    starts = [one for one in found if one["record"] == "START" and one["name"] == "a statement"]
    assert len(starts) == 2
    assert [one.pop("span") != one.pop("dt") for one in starts] == [True, True]
    assert starts[0] | {"parent": None, "trace": None} == starts[1] | {"parent": None, "trace": None}
    assert {name: value.value for name, value in starts[1]["attrs"].items()}["db.system.name"] == "x"


def test_what_was_written_before_a_name_became_sensitive_is_not_shown(tmp_path: Path) -> None:
    found = records_of(
        ring_of(
            """
from aftertrace._native import Known, Span, Template, attach
made = []
def make(text, variant):
    made.append(text)
    return Template("a statement", 3, {"db.query.text": text})
def again(*keys):
    n.stop()
    n.start(n.LEVEL_SPANS, ring_bytes=1 << 20, defs_bytes=1 << 16, roots=[], libraries=[], keys=keys)
    return known.of("SELECT 1", False)
known, base = Known(make), Template("", 3, {"db.namespace": "accounts"})
first = again()
assert again() is first  # the same rules, the same template
second = again("db.namespace")
assert second is not first and len(made) == 2  # other rules, another one
attach(Span("above", 2))
first.span(base).end()
second.span(base).end()
second.span(Template("", 3, {"db.namespace": "accounts"})).end()
""",
            tmp_path / "ring",
        )
    )
    starts = [one for one in found if one["record"] == "START" and one["name"] == "a statement"]
    shown = [{name: (value.tag, value.value) for name, value in one["attrs"].items()} for one in starts]
    text = {"db.query.text": ("STR", "SELECT 1")}
    assert shown == [{}, text, text | {"db.namespace": ("REDACTED", None)}]


def test_a_template_has_room_for_so_much() -> None:
    with pytest.raises(ValueError, match="more attributes"):
        Template("x", 3, {f"k{i}": "v" for i in range(60)})
    Template("n" * 100_000, 3, {"k": "v" * 100_000}, "s" * 100_000)
    assert STATEMENT.span() is None
    with within_a_span(), pytest.raises(TypeError):
        STATEMENT.span("x")  # type: ignore[arg-type]
    for wrong in [(5,), (), (None,)]:
        with pytest.raises(TypeError):
            Template(*wrong)


def test_known_texts_are_made_once_copied_and_forgotten_in_time() -> None:
    made: Calls = []

    def make(text: str, variant: int) -> Template:
        made.append((text, variant))
        return Template(text[:10], 3)

    known = Known(make)
    text = "".join(["SELECT ", str(1)])
    first = known.of(text, False)
    assert known.of(text, False) is first
    assert known.of(text, True) is not first
    assert made == [(text, 0), (text, 1)]
    held = sys.getrefcount(text)
    known.of(text, False)
    assert sys.getrefcount(text) == held
    assert made[0][0] is not text
    for number in range(1000):
        known.of(f"SELECT {number}", False)
    assert known.of(text, False) is not None
    long = "x" * 100_000
    known.of(long, False)
    known.of(long, False)
    assert [len(one) for one, _ in made[-2:]] == [8192, 8192]  # never kept
    _native.sensitive_name("warm")
    for wrong in [(b"x", False), (5, False), (text,)]:
        with pytest.raises(TypeError):
            known.of(*wrong)


def test_a_text_that_is_known_needs_no_begin() -> None:
    asked = []

    def begin(args: tuple[Any, ...], _: dict[str, Any]) -> Any:
        asked.append(args[1])
        return known.of(args[1], len(args) > 2), BASE

    known = Known(lambda text, _: Template(text, 3))
    call = spanned(lambda *_: current().name, begin=begin, known=known, base=BASE)
    with within_a_span():
        assert [call(None, "A"), call(None, "A"), call(None, "B"), call(None, "A", (1,))] == ["A", "A", "B", "A"]
        assert asked == ["A", "B", "A"]

        class Text(str):
            __slots__ = ()
            __hash__ = None  # type: ignore[assignment]

        with suppress(TypeError):
            call(None, Text("A"))
