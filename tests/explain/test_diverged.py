"""Failures of which the values alone say little: what healthy requests that came to the failing line had on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aftertrace.show import why as shown
from aftertrace.show.console import Console

from ..reconstruct.services import Services, running
from .compared import Requests, requests

PROGRAM = """
def is_new(user):
    return user.startswith("n")
def for_label(user, street):
    new = is_new(user)
    if not new:
        return {"street": street}
    street, _, house = street.rpartition(" ")
    return {"street": street, "house": house}
def label(user, address):
    if is_new(user):
        return address["house"] + address["street"]
    return address["street"]
MOST = {"A": 100}
def tier(cents):
    if cents > 500:
        return "big"
    return "small"
def spend(name, cents):
    kind = tier(cents)
    most = MOST.get(name)
    if most is not None and cents > most:
        raise ValueError(f"{kind}: {cents} of {most}")
    return cents
FILMS = {"matt": 1, "rough": 2}
PRESETS = {"small": {"paper": "matt"}, "big": {"paper": "rough"}}
def settings(name, paper):
    chosen = PRESETS[name]
    if paper:
        chosen["paper"] = paper
    return chosen
def handle(path, body):
    if path == "/label":
        address = for_label(body["by"], body["street"])
        return label(body["for"], address)
    if path == "/spend":
        return spend(body["name"], body["cents"])
    chosen = settings(body["preset"], body.get("paper"))
    return FILMS[chosen["paper"]] if body["film"] else 0
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("diverged"), {"app": PROGRAM}) as services:
        yield services


def order(by: str, to: str, number: int = 1) -> dict[str, object]:
    return {"by": by, "for": to, "street": f"Main {number}"}


def test_the_test_that_sent_it_another_way_than_those_that_came_to_the_line(program: Services) -> None:
    good = [order(f"{kind}{n}", f"{kind}{n}", n) for n in range(4) for kind in "no"]
    found = requests(program, [order("o1", "n1")], good, path="/label").why()
    cause = found["cause"]
    assert (cause["status"], cause["source"], cause["name"]) == ("likely", "new = is_new(user)", "new")
    assert cause["value"]["value"]["scalar"] is False
    assert "True in 4 of 4 healthy siblings that came to the failing line" in cause["says"]
    assert 'return address["house"] + address["street"]' in {one["source"] for one in found["also"]}
    assert cause["doubts"]


@pytest.mark.parametrize("kind", ["o", "n"])
def test_nothing_is_said_where_too_few_came_by(program: Services, kind: str) -> None:
    good = [order("o1", "o1"), order("n1", "n1"), order("n2", "n2")] if kind == "o" else [order("n1", "o1")] * 8
    found = requests(program, [order("o1", "n1")], good, path="/label").why()
    assert found["cause"]["source"] != "new = is_new(user)"


def film(preset: str, paper: str = "", *, wanted: bool = True) -> dict[str, Any]:
    return {"preset": preset, "paper": paper, "film": wanted}


def poisoned(program: Services, good: list[object]) -> Requests:
    """What an earlier request wrote into the module's state fails a later one."""
    healthy = requests(program, [], good, path="/film").healthy
    program.request("app", "/film", film("small", "glossy", wanted=False))
    return Requests(requests(program, [film("small")], [], path="/film").failing, healthy)


def test_what_was_read_where_the_way_ends_was_another_in_all_of_them(program: Services) -> None:
    program.request("app", "/film", film("small", "matt"))
    found = poisoned(program, [film(one) for one in ("small", "big", "small", "big", "small", "big")] * 2).why()
    cause = found["cause"]
    assert (cause["status"], cause["source"]) == ("likely", "chosen = PRESETS[name]")
    assert cause["name"] == "chosen['paper']"
    assert "in 12 of 12 healthy siblings" in cause["says"]
    assert "'matt'" in cause["says"]


def test_it_stays_unknown_without_healthy_requests(program: Services) -> None:
    program.request("app", "/film", film("small", "matt"))
    assert poisoned(program, []).why()["cause"]["status"] == "unknown"


def test_a_call_that_gave_what_it_gave_healthy_requests_too_is_no_cause(program: Services) -> None:
    good = [{"name": "A", "cents": 10 * number} for number in range(1, 6)]
    found = requests(program, [{"name": "A", "cents": 900}], good, path="/spend").why()
    assert found["cause"]["status"] == "unknown"
    assert found["cause"]["says"] == "nothing sets it apart from healthy requests"
    also = {one["source"]: one["says"] for one in found["also"]}
    assert "most = MOST.get(name)" in also
    assert also['return "big"'] == "the way went on here as in none of 5 healthy siblings"
    assert "5 of 5 healthy siblings had the same most, and did not fail" in found["unknown"]
    lines = shown.render(found, Console(160)).split("\n")
    at = next(number for number, line in enumerate(lines) if "CAUSE (unknown)" in line)
    assert "look at app" in lines[at + 1]
    assert "the way went on here as in none of 5" in lines[at + 2]
