"""Rules that keep requests: ``service=orders route="GET /cart/{id}" duration>500ms error``, judged on one span.

All terms must hold of the same span: a request's root, or its server's or consumer's span in some service. A term is a
field, an operator and a value (quoted where it has spaces), as in the query of ``ls``; a field that is none of the
known ones is an attribute. ``error`` alone: the span has an error status. There are no calls, no loops, nothing to run.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from aftertrace.errors import UsageError
from aftertrace.model import AttributeValue, Span, StatusCode

MOST = 64  # rules at a time
_LONGEST, _MOST_TERMS = 1000, 20
_TERM = re.compile(
    r'(?P<field>[A-Za-z_][\w.\-]*)(?P<op>!=|!~|>=|<=|=|~|>|<)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]+))(?=\s|$)'
)
_ERROR = re.compile(r"error(?=\s|$)")
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|ms|s|m|h|d)")
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_TEXT_OPS, _ORDER_OPS = ("=", "!=", "~", "!~"), (">", ">=", "<", "<=")
_FIELDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("service", "name", "route", "error"), _TEXT_OPS),
    "status": ("=", "!=", *_ORDER_OPS),
    "duration": _ORDER_OPS,
}
_OF_LS = {"since", "until", "group", "trigger", "reason", "role"}
HINT = (
    "Fields: service, route, name, status, duration, error, or an attribute. "
    "For example: service=orders route~cart duration>500ms error"
)
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
}


@dataclass(frozen=True, slots=True)
class Term:
    field: str
    op: str
    value: str
    number: float = 0.0  # of a duration in ns, of an HTTP status


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed expression."""

    expression: str
    terms: tuple[Term, ...]

    def may_fit(self, service: str) -> bool:
        """Whether spans of a service need be looked at."""
        return all(_text(term, [service]) for term in self.terms if term.field == "service")

    def may_hold(self, records: bytes, lasted: int | None) -> bool:
        """Whether a span need be put together: from the bytes of its records, which hold each text as it is, and about
        how long it lasted (ns; None: not known)."""
        return all(_may_hold(term, records, lasted) for term in self.terms)

    def fits(self, span: Span, now_ns: int = 0) -> bool:
        """Whether every term holds of it. One that has not ended lasted until ``now_ns``."""
        return all(_holds(term, span, now_ns) for term in self.terms)


def parse(expression: str) -> Rule:
    """Raises UsageError, which points at the place."""
    if len(expression) > _LONGEST:
        raise UsageError("bad-rule", f"The rule is over {_LONGEST} characters.", HINT)
    terms: list[Term] = []
    at = 0
    while at < len(expression):
        if expression[at].isspace():
            at += 1
        elif match := _ERROR.match(expression, at):
            terms.append(Term("status", "=", "error"))
            at = match.end()
        elif match := _TERM.match(expression, at):
            terms.append(_term(expression, match))
            at = match.end()
        else:
            word = expression[at:].split(maxsplit=1)[0]
            quote = word.count('"') == 1
            raise _wrong(expression, at, "a quote is not closed" if quote else f"{word[:40]!r} is not FIELD=VALUE")
    if not terms:
        raise UsageError("bad-rule", "A rule has at least one term.", HINT)
    if len(terms) > _MOST_TERMS:
        raise UsageError("bad-rule", f"The rule has over {_MOST_TERMS} terms.", HINT)
    return Rule(expression.strip(), tuple(terms))


def seconds(text: str) -> float:
    """``1h`` as seconds. Raises UsageError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError("bad-duration", f"{text!r} is no span of time.", "For example: 15m, 1h, 1.5d")
    return float(match[1]) * _UNITS[match[2]] / 1e9


def quoted(value: str) -> str:
    """A value as a term takes it."""
    return value if re.fullmatch(r'[^\s"]+', value) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _wrong(expression: str, at: int, why: str) -> UsageError:
    return UsageError("bad-rule", f"At position {at + 1} of the rule, {why}.\n  {expression}\n  {' ' * at}^", HINT)


def _term(expression: str, match: re.Match[str]) -> Term:
    field, op, bare = match["field"], match["op"], match["bare"]
    at = match.start("quoted" if bare is None else "bare")
    value = re.sub(r"\\(.)", r"\1", match["quoted"]) if bare is None else bare
    if field in _OF_LS:
        raise _wrong(expression, match.start(), f"{field!r} says nothing of a span: it is for `aftertrace ls`")
    if op not in _FIELDS.get(field, (op,)):
        raise _wrong(expression, match.start("op"), f"{field} takes {' '.join(_FIELDS[field])}, not {op}")
    if field == "duration":
        if _DURATION.fullmatch(value) is None:
            raise _wrong(expression, at, f"{value!r} is no span of time such as 250ms, 1.5s, 15m")
        return Term(field, op, value, seconds(value) * 1e9)
    if field == "status":
        if value in _STATUSES and op in {"=", "!="}:
            return Term(field, op, value)
        if not re.fullmatch(r"[0-9]{3}", value):
            raise _wrong(
                expression, at, f"{value!r} is no status: {', '.join(_STATUSES)} or an HTTP status such as 500"
            )
        return Term(field, op, value, float(value))
    if field not in _FIELDS and op in _ORDER_OPS:
        number = _number(value)
        if number is None:
            raise _wrong(expression, at, f"{value!r} is no number")
        return Term(field, op, value, number)
    return Term(field, op, value)


_STATUSES = {status.name.lower(): status for status in StatusCode}


def _holds(term: Term, span: Span, now_ns: int) -> bool:
    told = span.attributes
    match term.field:
        case "service":
            return _text(term, [span.service])
        case "name":
            return _text(term, [span.name])
        case "route":
            route = str(told.get("http.route", ""))
            return _text(term, [route, f"{told.get('http.request.method', '')!s} {route}", span.name])
        case "error":
            kinds = (event.attributes.get("exception.type") for event in span.events if event.name == "exception")
            return _text(term, [str(kind) for kind in kinds])
        case "status":
            if term.value in _STATUSES:
                return (span.status is _STATUSES[term.value]) == (term.op == "=")
            status = told.get("http.response.status_code", told.get("http.status_code"))
            return isinstance(status, int) and _COMPARE[term.op](status, term.number)
        case "duration":
            return _COMPARE[term.op]((span.end_ns or now_ns) - span.start_ns, term.number)
        case _:
            return _attribute(term, told[term.field]) if term.field in told else term.op.startswith("!")


_PLAIN = re.compile(r"[A-Za-z_/][\w./:{}<>-]*", re.ASCII)
_WORDS = {"true", "false", "none"}  # what no text need be
_BLUR, _BLUR_NS = 1.05, 1_000_000  # of how long it lasted, by another clock


@lru_cache(1024)
def _needle(value: str) -> bytes:
    """What stands in the records if a text is this; b"": nothing need."""
    words = value.split()
    last = words[-1] if words else ""  # a route may be put together of method and path
    plain = _PLAIN.fullmatch(last) and last.lower() not in _WORDS and _number(last) is None
    return last.encode() if plain else b""


def _may_hold(term: Term, records: bytes, lasted: int | None) -> bool:
    """False only where the term cannot hold."""
    if term.field == "duration":
        if lasted is None:
            return True
        if term.op.startswith(">"):
            return lasted * _BLUR + _BLUR_NS >= term.number
        return lasted / _BLUR - _BLUR_NS <= term.number
    if term.op != "=" or term.field in {"service", "status"}:
        return True
    return _needle(term.value) in records


def _text(term: Term, texts: list[str]) -> bool:
    """Whether one of them fits; with ``!``, whether none does."""
    wanted = term.value.casefold()
    found = term.value in texts if "=" in term.op else any(wanted in text.casefold() for text in texts)
    return found != term.op.startswith("!")


def _attribute(term: Term, value: AttributeValue) -> bool:
    if term.op in _ORDER_OPS:
        number = _number(value)
        return number is not None and _COMPARE[term.op](number, term.number)
    return _text(term, [str(value).lower() if isinstance(value, bool) else str(value)])


def _number(value: AttributeValue) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None
