"""Exceptions that went past a handler, and what was handled or made again in the failing request alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..reconstruct.services import Services, running
from .compared import requests

APP = """
from bus import PORTS, ServiceError, call
PORTS["gone"] = 1
class WrongSumError(Exception):
    pass
SERIAL = [0]
def fresh():
    SERIAL[0] += 1
    return f"k{SERIAL[0]}"
def stars(number):
    try:
        return call("gone" if number == 7 else "bank", "/stars", number)["stars"]
    except TimeoutError:
        return 0
def size(path):
    try:
        return len(open(path).read())
    except FileNotFoundError:
        return 0
def number(word):
    try:
        return int(word)
    except KeyError:
        return 0
def pay(order, cents):
    for attempt in range(3):
        key = fresh()
        try:
            return call("bank", "/book", {"key": key, "order": order, "cents": cents})
        except ServiceError:
            attempt += 1
def pay_once(order, cents):
    key = fresh()
    for attempt in range(3):
        try:
            return call("bank", "/book", {"key": key, "order": order, "cents": cents})
        except ServiceError:
            attempt += 1
def check(order, cents):
    charged = call("bank", "/charged", order)["charged"]
    if charged != cents:
        raise WrongSumError(f"{order} costs {cents}, charged {charged}")
def average(values):
    total = 0
    for value in values:
        total += value
    return total // (len(values) - 4)
def handle(path, body):
    if path == "/stars":
        return stars(body)
    if path == "/size":
        return size(body)
    if path == "/number":
        return number(body)
    if path == "/average":
        return average(body)
    (pay if path == "/pay" else pay_once)(body["order"], body["cents"])
    check(body["order"], body["due"])
"""
BANK = """
BOOKED = {}
def handle(path, body):
    if path == "/stars":
        return {"stars": body}
    if path == "/book":
        known = body["key"] in BOOKED
        BOOKED[body["key"]] = (body["order"], body["cents"])
        times = [order for order, _ in BOOKED.values()].count(body["order"])
        if body["order"].startswith("slow") and times < 2 and not known:
            raise RuntimeError("too late")
        return {}
    return {"charged": sum(cents for order, cents in BOOKED.values() if order == body)}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("again"), {"app": APP, "bank": BANK}) as services:
        yield services


def line_of(text: str, after: str = "") -> int:
    lines = APP.split("\n")
    begin = next(number for number, line in enumerate(lines) if after in line)
    return next(number for number, line in enumerate(lines[begin:], begin + 1) if line.strip() == text)


def asked(program: Services, path: str, bad: object, good: list[object]) -> dict[str, Any]:
    return requests(program, [bad], good, path=path).why()


def order(name: str, due: int = 5) -> dict[str, object]:
    return {"order": name, "cents": 5, "due": due}


def test_a_call_without_an_answer_went_past_its_handler(program: Services) -> None:
    cause = asked(program, "/stars", 7, [1, 2, 3, 4])["cause"]
    assert (cause["status"], cause["line"]) == ("likely", line_of("except TimeoutError:"))
    says = "ConnectionRefusedError went past it; it takes TimeoutError, and none of 4 that ran line "
    assert cause["says"].startswith(says)
    assert cause["says"].endswith(" raised ConnectionRefusedError")
    assert cause["doubts"]


def test_others_of_its_kind_were_handled_there_in_healthy_requests(program: Services) -> None:
    cause = asked(program, "/size", "/", ["/no", "/nowhere", "/etc/hostname", "/none"])["cause"]
    assert (cause["status"], cause["source"]) == ("likely", "except FileNotFoundError:")
    assert "3 healthy siblings had FileNotFoundError handled here" in cause["says"]


def test_a_handler_for_something_else_is_not_too_narrow(program: Services) -> None:
    found = asked(program, "/number", "x", ["1", "2", "3", "4"])
    assert "except KeyError:" not in {one["source"] for one in (found["cause"], *found["also"])}


def test_a_call_that_was_made_again_and_was_another(program: Services) -> None:
    found = asked(program, "/pay", order("slow-1"), [order(f"o{n}") for n in range(4)])
    cause = found["cause"]
    assert (cause["status"], cause["source"], cause["name"]) == ("likely", "key = fresh()", "key")
    assert cause["line"] == line_of("key = fresh()", after="def pay(")
    assert cause["says"].endswith("with another key; 2 turns, at most 1 in 4 healthy siblings")
    also = {one["source"]: one["says"] for one in found["also"]}
    assert also["for attempt in range(3):"] == "it went round 2 times; in 4 healthy siblings at most 1"
    assert also["except ServiceError:"].startswith("ServiceError was handled here; none of 4 healthy siblings")


def test_the_same_call_made_again_is_named_beside_the_cause(program: Services) -> None:
    found = asked(program, "/pay_once", order("slow-2", due=6), [order(f"p{n}") for n in range(4)])
    assert found["cause"]["source"] != "key = fresh()"
    lines = {one["line"] for one in found["also"]}
    assert lines >= {
        line_of("for attempt in range(3):", after="def pay_once("),
        line_of("except ServiceError:", after="def pay_once("),
    }


def test_what_healthy_requests_handle_too_is_not_named(program: Services) -> None:
    found = asked(program, "/pay_once", order("slow-3", due=6), [order(f"slow-a{n}") for n in range(4)])
    assert not {"for attempt in range(3):", "except ServiceError:"} & {one["source"] for one in found["also"]}


def test_a_loop_with_more_turns_than_in_any_healthy_request(program: Services) -> None:
    found = asked(program, "/average", [1, 2, 3, 4], [[1], [1, 2], [3, 4, 5], [6]])
    also = {one["source"]: one["says"] for one in found["also"]}
    assert also["for value in values:"] == "it went round 4 times; in 4 healthy siblings at most 3"
