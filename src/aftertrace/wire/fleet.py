"""What agents and the server tell each other of kept traces: JSON over HTTP (docs/fleet.md).

Times are ages in seconds, by the teller's monotonic clock: no two clocks need to agree. Both sides take what the other
sends for hostile: what does not fit is a ValueError, and everything has a most.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PATH = "/v1/aftertrace/fleet"
LIMIT = 4 << 20  # bytes of a message
MOST = 500  # marks, parts or replies in one message
MOST_SERVICES = 64
REMEMBER_S = 300.0  # how long marks are told to those who come late
HOLD_S = 20.0  # how long the server holds a call that has nothing to hear

_TEXT = 300  # code points of a reason or a name
_DIGITS = frozenset("0123456789abcdef")
_LONGEST_S = 1e9


@dataclass(frozen=True, slots=True)
class Mark:
    """A trace that an agent kept, ``age_s`` ago."""

    trace: str  # 32 hex digits
    trigger: str
    reason: str = ""
    age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one agent had of a kept trace; both empty: nothing. ``horizon_s``: how far back its memory reached."""

    trace: str
    shipped: tuple[str, ...] = ()  # services of which something was shipped
    overwritten: tuple[str, ...] = ()  # services of which something had left its memory
    horizon_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """An agent's request. ``agent``: drawn anew at each start; ``boot``, ``cursor``: how far it heard which server."""

    agent: str
    host: str = ""
    boot: str = ""
    cursor: int = 0
    wait_s: float = 0.0  # how long the answer may be held back; 0: it only tells
    rules: str = ""  # version of the rules that it has
    services: tuple[str, ...] = ()  # that it records now
    marks: tuple[Mark, ...] = ()
    parts: tuple[Part, ...] = ()
    replies: tuple[Mapping[str, Any], ...] = ()  # to what was asked: {"id": ..., ...}
    leaves: bool = False  # it ends: nobody need wait for its answers


@dataclass(frozen=True, slots=True)
class Answer:
    """The server's. ``rules`` is None where the agent has them already; ``asked``: {"id", "kind", ...} each."""

    boot: str
    cursor: int
    marks: tuple[Mark, ...] = ()
    rules_version: str = ""
    rules: tuple[Mapping[str, Any], ...] | None = None
    asked: tuple[Mapping[str, Any], ...] = field(default=())


def encode(message: Call | Answer) -> bytes:
    return json.dumps(asdict(message), separators=(",", ":")).encode()


def call(data: bytes) -> Call:
    """Raises ValueError."""
    said = _object(data)
    return Call(
        agent=_hex(said.get("agent"), 16, 64),
        host=_text(said.get("host")),
        boot=_text(said.get("boot")),
        cursor=_count(said.get("cursor", 0)),
        wait_s=min(_seconds(said.get("wait_s", 0)), HOLD_S),
        rules=_text(said.get("rules")),
        services=_texts(said.get("services", [])),
        marks=_list(said.get("marks", []), _mark),
        parts=_list(said.get("parts", []), _part),
        replies=_list(said.get("replies", []), _asked),
        leaves=said.get("leaves") is True,
    )


def answer(data: bytes) -> Answer:
    """Raises ValueError."""
    said = _object(data)
    rules = said.get("rules")
    return Answer(
        boot=_text(said.get("boot")),
        cursor=_count(said.get("cursor", 0)),
        marks=_list(said.get("marks", []), _mark),
        rules_version=_text(said.get("rules_version")),
        rules=None if rules is None else _list(rules, _asked),
        asked=_list(said.get("asked", []), _asked),
    )


def trace_id(value: object) -> str:
    """32 hex digits. Raises ValueError."""
    return _hex(value, 32, 32)


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > LIMIT:
        raise ValueError("it is too long")
    try:
        said = json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004  # whatever is wrong is the message's
    return said


def _list[Item](value: object, one: Callable[[Any], Item]) -> tuple[Item, ...]:
    if not isinstance(value, list) or len(value) > MOST:
        raise ValueError(f"a list of at most {MOST} was to come")
    return tuple(one(item) for item in value)


def _mark(said: Any) -> Mark:
    fields = _asked(said)
    trigger = _text(fields.get("trigger"))
    return Mark(trace_id(fields.get("trace")), trigger, _text(fields.get("reason")), _seconds(fields.get("age_s", 0)))


def _part(said: Any) -> Part:
    fields = _asked(said)
    shipped, overwritten = (_texts(fields.get(name, [])) for name in ("shipped", "overwritten"))
    return Part(trace_id(fields.get("trace")), shipped, overwritten, _seconds(fields.get("horizon_s", 0)))


def _asked(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ValueError("an object was to come")  # noqa: TRY004
    return said


def _hex(value: object, least: int, most: int) -> str:
    if not isinstance(value, str) or not least <= len(value) <= most or not set(value) <= _DIGITS:
        raise ValueError(f"{str(value)[:40]!r} is no id")
    return value


def _text(value: object) -> str:
    return value[:_TEXT] if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of names was to come")  # noqa: TRY004
    return tuple(_text(one) for one in value[:MOST_SERVICES])


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("a count was to come")
    return value


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        raise ValueError("a time in seconds was to come")
    return float(value)
