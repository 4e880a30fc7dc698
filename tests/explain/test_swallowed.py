"""Handled exceptions that should not have been: called where healthy requests ran the same line without one, and not
where the program expects them or healthy requests raise them too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from aftertrace.show import why as shown
from aftertrace.show.console import Console

from ..reconstruct.services import Services, running
from .compared import Requests, requests

TRIGGER = "handled-exception"
PROGRAM = """
TABLE = {"A": "10", "B": "5", "C": "15 %"}
CACHE = {}
class Coupon:
    def __init__(self, code, percent):
        self.code = code
        self.percent = percent
def find_coupon(code):
    row = TABLE.get(code)
    if row is None:
        raise LookupError(code)
    return Coupon(code, row)
def discount_cents(subtotal, code):
    if not code:
        return 0
    try:
        coupon = find_coupon(code)
        percent = int(coupon.percent)
        discount = subtotal * percent // 100
    except Exception:
        discount = 0
    return discount
def cached(key):
    try:
        return CACHE[key]
    except KeyError:
        CACHE[key] = len(CACHE)
        return CACHE[key]
def retried(numbers):
    number = 0
    while True:
        try:
            return 10 // numbers.pop()
        except Exception:
            number += 1
def by_default(order, rates):
    rate = rates.get(order["currency"])
    try:
        return order["price"] * rate
    except Exception:
        return 0
def refused(word):
    try:
        return int(word)
    except Exception:
        raise ValueError("no number") from None
def handle(path, body):
    if path == "/cached":
        return cached(body)
    if path == "/retried":
        return retried(body)
    if path == "/rates":
        return by_default(body, {"EUR": 2, "DKK": 3})
    if path == "/refused":
        try:
            return refused(body)
        except ValueError:
            return None
    total = body["total"]
    discount = discount_cents(total, body["coupon"])
    paid = total - discount
    return {"paid": paid}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("swallowed"), {"app": PROGRAM}) as services:
        yield services


def buys(*coupons: str) -> list[dict[str, object]]:
    return [{"total": 1000 + 100 * n, "coupon": coupon} for n, coupon in enumerate(coupons)]


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.strip() == text)


def asked(program: Services, bad: object, good: list[object], path: str = "/x", trigger: str = TRIGGER) -> Requests:
    return requests(program, [bad], good, trigger=trigger, path=path)


def calm(ask: Callable[[], Requests]) -> dict[str, Any]:
    """Asked again where the machine made it slow, which `why` then says."""
    for _ in range(10):
        said = ask().why()
        if (said["finding"] or {}).get("kind") != "slow":
            break
    return said


def test_the_line_that_raised_and_its_value(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys(*"ABABAB")]).why()
    cause = said["cause"]
    assert (cause["status"], cause["service"], cause["doubts"]) == ("verified", "app", [])
    assert cause["line"] == line_of("percent = int(coupon.percent)")
    assert (cause["name"], cause["value"]["value"]["scalar"]) == ("coupon.percent", "15 %")
    finding = said["finding"]
    assert (finding["kind"], finding["exception"], finding["status"]) == ("swallowed", "ValueError", 200)
    assert finding["siblings"] == {"ran": 6, "raised": 0, "without_lines": 0}
    assert said["evidence"] == [
        {
            "says": "6 of 6 healthy siblings had another coupon.percent there ('10', '5')",
            "count": 6,
            "of": 6,
            "kind": "other-value",
        }
    ]
    assert not any("ValueError" in one for one in said["ruled_out"])


def test_the_chain_says_who_swallowed_it_and_what_was_left(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys(*"ABABAB")]).why()
    chain = [(link["line"], link["name"], link["says"]) for link in said["chain"]]
    assert chain == [
        (line_of("except Exception:"), "", "swallowed here"),
        (line_of("discount = 0"), "discount", "left in its place"),
        (line_of('discount = discount_cents(total, body["coupon"])'), "discount", "passed on"),
        (line_of('return {"paid": paid}'), "", "app answered 200"),
    ]
    assert said["chain"][1]["value"]["value"]["scalar"] == 0


def test_text_of_it(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys(*"ABABAB")]).why()
    lines = shown.render(said, Console(120)).split("\n")
    assert len(lines) <= 20
    assert any(
        "CAUSE (verified)" in line and f"app.py:{line_of('percent = int(coupon.percent)')}" in line for line in lines
    )
    assert any("6 of 6 healthy siblings" in line for line in lines)
    assert any("swallowed here" in line for line in lines)


def test_a_value_that_was_made_wrong_is_the_cause(program: Services) -> None:
    """The default that was taken is to blame, not the line that failed on it."""
    good = [{"price": n, "currency": "EUR"} for n in range(1, 6)]
    said = asked(program, {"price": 5, "currency": "CHF"}, good, "/rates").why()
    assert said["cause"]["line"] == line_of('rate = rates.get(order["currency"])')
    assert (said["cause"]["status"], said["cause"]["name"]) == ("verified", "rate")
    lines = [link["line"] for link in said["chain"]]
    assert lines[0] == line_of('return order["price"] * rate')
    assert said["chain"][-1]["says"] == "app answered 200"


def test_siblings_that_do_it_as_often(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys(*"ACBCACB")]).why()
    assert said["cause"]["status"] == "unknown"
    assert said["finding"] is None


def test_a_sibling_that_did_it_too_is_a_doubt(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys(*"ABABABABABC")]).why()
    assert said["cause"]["status"] == "likely"
    assert any("1 of 11 siblings raised it too" in one for one in said["cause"]["doubts"])
    assert any("had the same coupon.percent" in one for one in said["cause"]["doubts"])


def test_nobody_to_compare_with(program: Services) -> None:
    said = asked(program, *buys("C"), [*buys("", "", "")]).why()
    assert said["cause"]["status"] == "likely"
    assert any("no healthy sibling" in one for one in said["cause"]["doubts"])
    assert {one["kind"] for one in said["evidence"]} == {"not-run"}


def test_what_the_program_raises_itself_is_not_called(program: Services) -> None:
    """A mistyped coupon: rare, but meant so."""
    said = asked(program, *buys("typo"), [*buys(*"ABABABABABAB")]).why()
    assert (said["cause"]["status"], said["cause"]["path"]) == ("unknown", "")
    assert said["finding"]["expected"] is True
    assert any("raises it on purpose" in one for one in said["unknown"])


def test_what_the_program_names_is_not_called(program: Services) -> None:
    program.request("app", "/cached", "old")
    said = asked(program, "new", ["old"] * 10, "/cached").why()
    assert (said["cause"]["status"], said["finding"]["expected"]) == ("unknown", True)


def test_another_try_that_went_well(program: Services) -> None:
    """A retry with other values is not told from a loop over items; here another item was taken."""
    said = asked(program, [5, 0], [[5], [2], [3], [4]], "/retried").why()
    assert said["cause"]["status"] in {"verified", "likely"}
    assert said["cause"]["line"] == line_of("return 10 // numbers.pop()")


@pytest.mark.parametrize("trigger", ["sibling", "keep"])
def test_healthy_requests_are_not_called(program: Services, trigger: str) -> None:
    """Not by the agent's word, and with few siblings that say something."""
    good = [*buys(*"ABABAB")]
    for bad in (*buys("typo"), *buys(""), *buys("A")):
        assert calm(lambda bad=bad: asked(program, bad, good, trigger=trigger))["cause"]["status"] == "unknown"
    program.request("app", "/cached", "old")
    new = count()
    said = calm(lambda: asked(program, f"new {trigger} {next(new)}", ["old"] * 12, "/cached", trigger))
    assert said["finding"] is None


def test_kept_for_another_reason(program: Services) -> None:
    """Siblings alone suggest it: likely, with the reason for which the request was kept."""
    said = asked(program, *buys("C"), [*buys(*"ABABABABAB")], trigger="keep").why()
    assert said["cause"]["status"] == "likely"
    assert any("kept for keep" in one for one in said["cause"]["doubts"])


@pytest.mark.parametrize(
    ("trigger", "reason", "status"),
    [
        (TRIGGER, "ValueError in discount_cents, rare for POST /x", "verified"),
        (TRIGGER, "rare for its route", "verified"),
        ("error-log", "ValueError: invalid literal", "verified"),
        ("error-log", "the queue is full", "unknown"),
    ],
)
def test_what_the_agent_says_of_it(program: Services, trigger: str, reason: str, status: str) -> None:
    """An ERROR log that does not name it is no word about it, and six siblings alone are too few."""
    found = asked(program, *buys("C"), [*buys(*"ABABAB")], trigger=trigger)
    keeps = [replace(keep, reason=reason) for keep in found.failing[0].keeps]
    found.failing = [replace(found.failing[0], keeps=keeps)]
    assert found.why()["cause"]["status"] == status


def test_another_exception_was_raised_for_it(program: Services) -> None:
    said = asked(program, "x", ["1", "2", "3", "4"], "/refused").why()
    assert said["cause"]["status"] == "unknown"
    assert said["finding"]["expected"] is True
    assert "no number" not in said["finding"].get("message", "")


def test_calls_alone(tmp_path: Path) -> None:
    """Without lines nobody says which values the line had; where it was raised is known."""
    with running(tmp_path, {"app": PROGRAM}, level=1) as services:
        said = asked(services, *buys("C"), [*buys(*"ABABAB")]).why()
    assert said["cause"]["status"] in {"likely", "unknown"}
    if said["cause"]["status"] == "likely":
        assert said["cause"]["line"] == line_of("percent = int(coupon.percent)")
        assert any("not recorded" in one for one in said["cause"]["doubts"])
