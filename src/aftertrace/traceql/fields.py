"""Which fields there are: from the word in the query to what it means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from aftertrace.model import SpanKind, StatusCode
from aftertrace.traceql.tree import Constant, Field, Keys, Kind, Scope
from aftertrace.traceql.wrong import wrong

# As written -> as it is called here; TraceQL has both.
INTRINSICS = {
    "name": "name",
    "kind": "kind",
    "status": "status",
    "statusMessage": "statusMessage",
    "duration": "duration",
    "traceDuration": "trace:duration",
    "rootName": "trace:rootName",
    "rootServiceName": "trace:rootService",
    **{f"span:{one}": one for one in ("name", "kind", "status", "statusMessage", "duration")},
    **{one: one for one in ("span:id", "span:parentID")},
    **{one: one for one in ("trace:id", "trace:duration", "trace:rootName", "trace:rootService")},
}
# What a field can be compared with, where that is known beforehand.
KINDS = {
    **dict.fromkeys(("name", "statusMessage", "span:id", "span:parentID", "trace:id"), Kind.TEXT),
    **dict.fromkeys(("trace:rootName", "trace:rootService"), Kind.TEXT),
    **dict.fromkeys(("duration", "trace:duration", "call.duration"), Kind.DURATION),
    "kind": Kind.SPAN_KIND,
    "status": Kind.STATUS,
    **dict.fromkeys(("call.function", "call.file", "exception.type", "exception.message", "line"), Kind.TEXT),
}
_CALL = ("function", "file", "duration")
_LATER = (
    "parent",
    "childCount",
    "event",
    "link",
    "instrumentation",
    "nestedSetLeft",
    "nestedSetRight",
    "trace",
    "span:",
)
_STARTS = (
    *("call.function", "call.file", "call.duration", "arg.", "return", "local.", "exception.type", "exception.message"),
    *("line", "span.", "resource.", *INTRINSICS),
)
WORDS: dict[str, tuple[Kind, StatusCode | SpanKind | bool | None]] = {
    "true": (Kind.BOOLEAN, True),
    "false": (Kind.BOOLEAN, False),
    "nil": (Kind.NIL, None),
    "null": (Kind.NULL, None),
    "None": (Kind.NULL, None),
    "True": (Kind.BOOLEAN, True),
    "False": (Kind.BOOLEAN, False),
    **{one.name.lower(): (Kind.STATUS, one) for one in StatusCode},
    **{one.name.lower(): (Kind.SPAN_KIND, one) for one in SpanKind},
}
_PART = re.compile(
    r'(?P<dot>[.:]?)(?:(?P<name>[^\W\d]\w*|(?<=\.)\w+)|"(?P<quoted>(?:[^"\\]|\\.)*)")'
    r'|\[(?P<index>-?[0-9]{1,9})\]|\["(?P<key>(?:[^"\\]|\\.)*)"\]',
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def unescaped(text: str) -> str:
    """What stands between quotes."""
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text, flags=re.DOTALL)


def read(query: str, word: str, at: int) -> Field | Constant:
    """The field, or constant, that a word stands for. UsageError."""
    if word in WORDS:
        kind, value = WORDS[word]
        return Constant(kind, value, at, word)
    if word in INTRINSICS:
        return Field(Scope.INTRINSIC, INTRINSICS[word], at, word)
    if word.startswith("."):
        return _attribute(query, word, at, Scope.ANY, 1)
    head, dot, _ = word.partition(".")
    head = head.partition("[")[0]
    match head:
        case "span" | "resource" if dot:
            return _attribute(query, word, at, Scope(head), len(head) + 1)
        case "arg" | "local" | "return" | "exception" | "line" | "call":
            return _of_code(query, word, at, Scope(head))
        case _:
            raise _unknown(query, word, at)


def _attribute(query: str, word: str, at: int, scope: Scope, skip: int) -> Field:
    rest = word[skip:]
    if not rest:
        raise wrong(query, at + len(word), f"the attribute's name is missing: {word}http.route")
    if rest.startswith('"'):
        match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', rest, re.DOTALL)
        if match is None:
            raise wrong(query, at + skip, "a quoted name stands alone")
        return Field(scope, unescaped(match[1]), at, word)
    if "[" in rest or '"' in rest:
        inside = at + skip + min(rest.find(one) for one in '["' if one in rest)
        raise wrong(query, inside, "there is no way into an attribute's value yet")
    return Field(scope, rest, at, word)


def _of_code(query: str, word: str, at: int, scope: Scope) -> Field:
    keys = tuple(_keys(query, word, at, len(scope)))
    if scope is Scope.LINE:
        if keys:
            raise wrong(query, at + len(scope), 'line has no parts: line = "orders/pricing.py:41"')
        return Field(scope, "", at, word)
    if scope is Scope.RETURN:
        return Field(scope, "", at, word, keys)
    name = keys[0] if keys and isinstance(keys[0], str) and word[len(scope)] == "." else ""
    if not name:
        raise wrong(query, at, f"{scope} needs a name: {_example(scope)}")
    if scope is Scope.CALL and (name not in _CALL or len(keys) > 1):
        raise wrong(
            query, at, f"there is no field {word!r}", f"Of a call: {', '.join(f'call.{one}' for one in _CALL)}."
        )
    return Field(scope, name, at, word, keys[1:])


def _example(scope: Scope) -> str:
    return {Scope.CALL: "call.function", Scope.EXCEPTION: "exception.type"}.get(scope, f"{scope}.qty")


def _keys(query: str, word: str, at: int, position: int) -> Iterator[str | int]:
    while position < len(word):
        match = _PART.match(word, position)
        if match is None or match["dot"] == ":":
            why = "there is no arithmetic yet" if word[position] in "-+" else f"{word[position:][:20]!r} leads nowhere"
            raise wrong(query, at + position, why)
        if match["index"] is not None:
            yield int(match["index"])
        elif match["name"] is not None:
            yield match["name"]
        else:
            yield unescaped(match["quoted"] if match["quoted"] is not None else match["key"])
        position = match.end()


def _unknown(query: str, word: str, at: int) -> Exception:
    near = difflib.get_close_matches(word, _STARTS, 1, 0.6)
    if any(word == one or word.startswith((f"{one}.", f"{one}:")) for one in _LATER):
        return wrong(query, at, f"{word!r} cannot be asked yet")
    meant = f": {near[0]}?" if near else ""
    return wrong(query, at, f"there is no field {word!r}{meant}", f"Fields: {', '.join(_STARTS[:16])}, .attribute ...")


def plain_keys(field: Field) -> Keys:
    """Name and keys in one."""
    return (field.name, *field.keys) if field.name else field.keys
