"""Lines that lost something of a value, on the way to a failure that shows elsewhere: named where no healthy request
lost the same there, never proven, and not named where it is ordinary."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aftertrace.explain import paging, units

from ..reconstruct.services import Services, running
from .compared import requests

_MARK = "  # cause"


@dataclass(frozen=True)
class Program:
    """``bad`` fails for the line that is marked; ``like`` lost as much there, and goes well."""

    text: str
    bad: dict[str, Any]
    good: list[dict[str, Any]]
    says: str
    like: dict[str, Any] = field(default_factory=dict)
    back: str = ""  # a second service

    @property
    def services(self) -> dict[str, str]:
        return {"app": self.text.replace(_MARK, ""), **({"back": self.back} if self.back else {})}

    @property
    def line(self) -> int:
        return next(n for n, line in enumerate(self.text.split("\n"), 1) if line.endswith(_MARK))


ALL = {
    "a zero that counts as not there": Program(
        """
from bus import call
def kept_back(order, usual):
    pieces = order.get("keep") or usual  # cause
    return pieces
def handle(path, body):
    order = body["order"]
    back = kept_back(order, body["usual"])
    if body.get("quiet"):
        return back
    return call("back", "/take", {"keep": back, "left": order["left"]})
""",
        {"order": {"keep": 0, "left": 3}, "usual": 5},
        [{"order": {"keep": n, "left": 9}, "usual": 5} for n in (1, 2, 3, 4, 6)],
        "which counts as false",
        {"order": {"keep": 0, "left": 3}, "usual": 5, "quiet": 1},
        """
def handle(path, body):
    free = body["left"] - body["keep"]
    if free < 0:
        raise ValueError("nothing is free")
    return free
""",
    ),
    "a fraction just below a whole number": Program(
        """
from bus import call
def grams(kilos):
    return int(kilos * 100)  # cause
def handle(path, body):
    parts = [grams(one) for one in body["kilos"]]
    if body.get("quiet"):
        return parts
    return call("back", "/weigh", {"parts": parts, "scale": body["scale"]})
""",
        {"kilos": [0.5, 0.29, 0.25], "scale": 104},
        [{"kilos": [0.5, 0.25], "scale": 75}, {"kilos": [1.5], "scale": 150}, {"kilos": [0.75, 2.0], "scale": 275}],
        "just below 29",
        {"kilos": [0.29], "scale": 0, "quiet": 1},
        """
def handle(path, body):
    weight = sum(body["parts"])
    if weight != body["scale"]:
        raise ArithmeticError(f"{weight}, not {body['scale']}")
    return weight
""",
    ),
    "one more than a whole multiple takes": Program(
        """
SIZE = 4
def sheets(count):
    many = count // SIZE + 1  # cause
    return many
def handle(path, body):
    stamps = body["stamps"]
    many = sheets(len(stamps))
    first = (many - 1) * SIZE
    return many if body.get("quiet") else stamps[first]
""",
        {"stamps": list("abcdefgh")},
        [{"stamps": list("abcdefghi"[:n])} for n in (3, 5, 6, 7, 9)],
        "a whole multiple of 4",
        {"stamps": list("abcd"), "quiet": 1},
    ),
    "an offset that is dropped": Program(
        """
from datetime import UTC, datetime
OPEN = [9, 10, 11, 12, 13, 14]
def moment_of(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)  # cause
def handle(path, body):
    moment = moment_of(body["at"])
    hour = moment.hour - 9
    return hour if body.get("quiet") else OPEN[hour]
""",
        {"at": "2026-05-04T19:15:00+08:00"},
        [{"at": f"2026-05-0{n}T1{n}:15:00+00:00"} for n in (1, 2, 3, 4)],
        "the offset +08:00 of text was dropped",
        {"at": "2026-05-04T12:15:00+08:00", "quiet": 1},
    ),
    "characters where bytes are counted": Program(
        """
def packed(words):
    parts = []
    for word in words:
        length = len(word)  # cause
        parts.append(f"{length:02}{word}")
    return "".join(parts).encode()
def first_of(data):
    length = int(data[:2])
    return data[2 : 2 + length].decode()
def handle(path, body):
    data = packed(body["words"])
    return len(data) if body.get("quiet") else first_of(data)
""",
        {"words": ["Zoë", "Ann"]},
        [{"words": [one, "Bob"]} for one in ("Ann", "Lea", "Tom", "Eve")],
        "3 characters, and 4 bytes",
        {"words": ["Noël"], "quiet": 1},
    ),
    "seconds held against milliseconds": Program(
        """
import time
MAX_AGE_MS = 200
def remembered(entry):
    if time.time() - entry["at"] > MAX_AGE_MS:  # cause
        return None
    return entry["price"]
def handle(path, body):
    price = remembered({"at": time.time() - 100, "price": body["old"]})
    if price != body["now"]:
        raise ValueError("another price")
    return price
""",
        {"old": 120, "now": 190},
        [{"old": n, "now": n} for n in (100, 120, 130)],
        "are held against milliseconds (MAX_AGE_MS)",
    ),
}


@pytest.fixture(scope="module", params=ALL)
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Program, Services]]:
    program = ALL[request.param]
    with running(tmp_path_factory.mktemp("lost"), program.services) as services:
        yield program, services


def test_the_line_is_named_and_not_proven(played: tuple[Program, Services]) -> None:
    program, services = played
    said = requests(services, [program.bad], program.good).why()
    cause = said["cause"]
    assert (cause["status"], cause["service"], cause["line"]) == ("likely", "app", program.line), cause
    assert program.says in cause["says"]
    assert cause["doubts"]
    if "held against" not in program.says:  # names say that of every request
        assert f"in none of {len(program.good)} healthy siblings" in cause["says"]


def test_what_a_healthy_request_lost_too_is_ordinary(played: tuple[Program, Services]) -> None:
    program, services = played
    if not program.like:
        pytest.skip("names say that of every request")
    said = requests(services, [program.bad], [*program.good, program.like]).why()
    assert program.says not in said["cause"]["says"]
    assert said["cause"]["status"] != "verified" or said["cause"]["line"] == program.line


def test_without_healthy_requests_it_is_likely_too(played: tuple[Program, Services]) -> None:
    program, services = played
    cause = requests(services, [program.bad], []).why()["cause"]
    assert cause["status"] == "likely"
    assert cause["line"] == program.line


def test_a_request_that_went_well_lost_nothing(played: tuple[Program, Services]) -> None:
    program, services = played
    found = requests(services, program.good[:1], program.good[1:], trigger="sibling")
    assert found.why()["cause"]["status"] == "unknown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if time.time() - began > LIMIT_MS: pass", "seconds (time.time() - began) are held against milliseconds"),
        ("left = deadline_seconds - waited_ms", "seconds (deadline_seconds) are held against milliseconds (waited_ms)"),
        ("if monotonic() - self.at > self.ttl_seconds: pass", ""),
        ("if elapsed_ms > LIMIT_MS: pass", ""),
        ("if elapsed_ms / 1000 > limit_seconds: pass", ""),
        ("if seconds > 5: pass", ""),
        ("if rows_s > item_ms: pass", "seconds (rows_s) are held against milliseconds (item_ms)"),
    ],
)
def test_units(text: str, expected: str) -> None:
    said = units.mixed(ast.parse(text).body[0])
    assert said.startswith(expected) if expected else not said


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ("SELECT id FROM t WHERE made > ? ORDER BY made, id LIMIT 20", True),
        ("SELECT id FROM t WHERE shop = %s AND made < %s ORDER BY made DESC, id DESC LIMIT 20", True),
        ("SELECT id FROM t WHERE id > ? ORDER BY id LIMIT 20", False),
        ("SELECT id FROM t WHERE (made, id) > (?, ?) ORDER BY made, id LIMIT 20", False),
        ("SELECT id FROM t WHERE made > ? OR (made = ? AND id > ?) ORDER BY made, id LIMIT 20", False),
        ("SELECT id FROM t WHERE made > ? ORDER BY made, id", False),
        ("a text that is no statement", False),
    ],
)
def test_pages(query: str, passes: bool) -> None:
    assert bool(paging.passes_over(ast.parse(f"q = {query!r}").body[0])) is passes


def test_programs_are_as_they_say() -> None:
    assert all(program.text.count(_MARK) == 1 for program in ALL.values())
    assert Path(__file__).name == "test_lost.py"
