"""What healthy requests had at the cause's line: for it, against it, or nothing that can be said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aftertrace.explain.compared.digest import digest, pattern
from aftertrace.model import Missing, Value, ValueKind

from ..reconstruct.services import Services, running
from .compared import requests

PROGRAM = """
ZONES = {"DE": "W1", "FR": "W2", "NL": "N1", "BE": "N2"}
SHELVES = {"W1": 1, "W2": 2, "N1": 3, "N2": 4}
USERS = {"ann": {"mail": "a@example.org"}, "eve": {"mail": "e@example.org"}}
def zone_of(country):
    zone = ZONES.get(country, "")
    return zone
def find(name):
    for key, user in USERS.items():
        if key == name:
            return user
    return None
def set_level(level):
    from aftertrace import _native
    _native.set_code_level(zone_of.__code__, level)
def handle(path, body):
    if path in {"/calls", "/lines"}:
        return set_level(1 if path == "/calls" else 2)
    if path == "/user":
        user = find(body["name"])
        if body.get("quiet") and user is None:
            return "nobody"
        return user["mail"]
    zone = zone_of(body["country"])
    if body.get("pickup"):
        return zone
    return SHELVES[zone]
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("evidence"), {"app": PROGRAM}) as services:
        yield services


def to(*countries: str, **more: Any) -> list[dict[str, Any]]:
    return [{"country": one, **more} for one in countries]


def kinds(said: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {one["kind"]: (one["count"], one["of"]) for one in said["evidence"]}


def test_siblings_found_one(program: Services) -> None:
    said = requests(program, to("CH"), to("DE", "FR", "NL", "BE", "DE")).why()
    assert said["cause"]["status"] == "verified"
    assert said["evidence"][0]["says"] == "5 of 5 healthy siblings found one there ('W1', 'W2', 'N1', ...)"
    assert kinds(said) == {"other-value": (5, 5)}


def test_the_same_value_without_a_failure(program: Services) -> None:
    """Somebody who fetched it himself: no zone either, and no failure. The line alone does not do it."""
    said = requests(program, to("CH"), [*to("DE", "FR", "NL"), *to("AT", pickup=True)]).why()
    assert said["cause"]["status"] == "likely"
    assert said["cause"]["doubts"] == ["1 of 4 healthy siblings had the same zone there, and did not fail"]
    assert kinds(said) == {"other-value": (3, 4), "same-value": (1, 4)}


def test_what_a_function_returned(program: Services) -> None:
    good = [{"name": "ann"}, {"name": "eve"}]
    said = requests(program, [{"name": "bob"}], good, path="/user").why()
    assert said["cause"]["source"] == "return None"
    assert kinds(said) == {"not-run": (2, 2)}
    assert said["cause"]["status"] == "verified"
    said = requests(program, [{"name": "bob"}], [*good, {"name": "bob", "quiet": 1}], path="/user").why()
    assert kinds(said) == {"same-value": (1, 1)}
    assert said["cause"]["status"] == "likely"


def test_others_of_its_group(program: Services) -> None:
    said = requests(program, to("CH", "AT", "CH"), to("DE", "FR")).why()
    assert kinds(said)["group-value"] == (2, 2)


def test_nobody_to_ask(program: Services) -> None:
    said = requests(program, to("CH"), []).why()
    assert (said["cause"]["status"], said["evidence"]) == ("verified", [])


def test_siblings_without_lines(program: Services) -> None:
    """What they had at the line is not known, and is not guessed."""
    failing = requests(program, to("CH"), [])
    program.request("app", "/calls", {})
    failing.healthy = requests(program, [], to("DE", "FR")).healthy
    program.request("app", "/lines", {})
    said = failing.why()
    assert said["cause"]["status"] == "verified"
    assert kinds(said) == {"unseen": (2, 2)}


def test_a_cause_that_was_not_recorded_stays_unknown(program: Services) -> None:
    """Without the source nobody can say which value it was: siblings do not make it known."""
    found = requests(program, to("CH", "AT", "CH"), to("DE", "FR", "NL"))
    found.failing = [replace(one, sources={}) for one in found.failing]
    said = found.why()
    assert (said["cause"]["status"], said["cause"]["path"], said["evidence"]) == ("unknown", "", [])
    assert any("source" in one for one in said["unknown"])


def scalar(value: Any) -> Value:
    size = len(value) if isinstance(value, str) else None
    return Value(ValueKind.SCALAR, type(value).__name__, value, size=size)


def test_a_digest_says_nothing_of_addresses() -> None:
    one, other = (
        Value(ValueKind.OBJECT, "app.Order", attributes=(("total", scalar(3)),), identity=identity)
        for identity in (1, 2)
    )
    assert digest(one) == digest(other) is not None
    assert digest(Value(ValueKind.OBJECT, "app.Order", identity=1)) is None


def test_a_digest_of_what_was_cut_is_none() -> None:
    part = Value(ValueKind.SEQUENCE, "list", items=(scalar(1),), size=9, missing=Missing.COLLECTION_SIZE)
    assert digest(part) is None
    assert digest(Value(ValueKind.SEQUENCE, "list", items=(part,), size=1)) is None
    assert digest(scalar(True)) != digest(scalar(1))
    assert digest(scalar(float("nan"))) == digest(scalar(float("nan")))


def test_patterns() -> None:
    assert (pattern("15 %"), pattern("10"), pattern("DE-W1")) == ("9 %", "9", "a-a9")
    assert pattern("- " * 40) == ""
