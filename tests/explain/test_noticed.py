"""What was wrong without an exception: an error that was answered, a keep() on a condition, state that differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aftertrace.explain.company import Company
from aftertrace.explain.why import why
from aftertrace.model import StatusCode
from aftertrace.reconstruct.build import build
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import Services, running
from .compared import Requests, requests

_MARK = "  # cause"
ANSWERS = """
RATES = {"DE": 19, "FR": 20, "LU": 17}
def handle(path, body):
    expected = body["net"] * RATES[body["country"]]
    if body["tax"] != expected:
        return {"error": "the tax is not right"}, 503
    return {"ok": expected}, 200
"""
SENDS = """
from bus import call
def tax_of(net, percent):
    tax = net * percent - 1  # cause
    return tax
def handle(path, body):
    tax = tax_of(body["net"], 17)
    return call("back", "/check", {"country": "LU", "net": body["net"], "tax": tax})
"""
STATE = """
class Settings:
    def __init__(self):
        self.rates = {}
settings = Settings()
settings.rates.update({"DE": 19, "FR": 20, "NL": 21, "LU": 16})
RIGHT = {"DE": 19, "FR": 20, "NL": 21, "LU": 17}
def percent_of(country):
    percent = settings.rates[country]  # cause
    return percent
def tax_of(country, net):
    exact = net * percent_of(country)
    return exact // 100
def handle(path, body):
    tax = tax_of(body["country"], body["net"])
    if tax != body["net"] * RIGHT[body["country"]] // 100:
        raise ArithmeticError("the tax is not right")
    return tax
"""
KEEPS = """
import time
import aftertrace
def sent_to(names):
    sent = 0
    for name in names:
        sent += 1
    return sent
def wanted(rows):
    names = [row["name"] for row in rows if row["mail"]]  # cause
    return names
def handle(path, body):
    sent = sent_to(wanted(body["rows"]))
    time.sleep(body.get("wait", 0))
    if sent != body["count"]:
        aftertrace.keep("letters missing")
    return sent
"""


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(text.split("\n"), 1) if line.endswith(_MARK))


def told(found: Requests) -> dict[str, Any]:
    return why(build(found.failing[0]), Company(found, found.failing[0].trace_id)).to_json()


def answered(trace: TraceData, service: str, status: int) -> TraceData:
    """As a web framework's span says it: these services have no statuses of their own."""
    spans = [
        replace(one, attributes={**one.attributes, "http.response.status_code": status}, status=StatusCode.ERROR)
        if one.service == service and one.kind.name == "SERVER"
        else one
        for one in trace.spans
    ]
    return replace(trace, spans=spans)


def test_an_error_that_was_answered(tmp_path: Path) -> None:
    """The test because of which it was answered, and what made its values, in the service that sent them."""
    with running(tmp_path, {"app": SENDS.replace(_MARK, ""), "back": ANSWERS}) as services:
        found = requests(services, [{"net": 25}], [])
    found.failing = [answered(found.failing[0], "back", 503)]
    said = told(found)
    places = [(one["service"], one["line"]) for one in (said["cause"], *said["also"])]
    assert said["cause"]["status"] == "likely"
    assert ("app", line_of(SENDS)) in places
    assert ("back", 4) in places
    assert said["failure"]["service"] == "back"


def test_an_error_of_which_no_line_speaks(tmp_path: Path) -> None:
    with running(tmp_path, {"app": SENDS.replace(_MARK, ""), "back": ANSWERS}) as services:
        found = requests(services, [{"net": 25}], [])
    found.failing = [answered(found.failing[0], "back", 500)]  # the line says 503
    assert told(found)["cause"]["status"] == "unknown"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("state"), {"app": STATE.replace(_MARK, "")}) as services:
        yield services


def nets(*countries: str) -> list[dict[str, Any]]:
    return [{"country": one, "net": 100 * number} for number, one in enumerate(countries, 3)]


def test_state_that_healthy_requests_read_otherwise(state: Services) -> None:
    said = requests(state, nets("LU"), nets("DE", "FR", "NL", "DE", "FR")).why()
    cause = said["cause"]
    assert (cause["status"], cause["line"], cause["name"]) == ("likely", line_of(STATE), "percent")
    assert cause["value"]["value"]["scalar"] == 16
    assert "5 healthy siblings read 19, 20, 21" in cause["says"]
    assert any("not recorded" in one for one in (cause["says"], *said["unknown"]))


def test_state_is_not_called_where_a_healthy_request_read_the_same(state: Services) -> None:
    """Of nothing, 16 percent are as much as 17."""
    good = [*nets("DE", "FR", "NL"), {"country": "LU", "net": 0}]
    cause = requests(state, nets("LU"), good).why()["cause"]
    assert cause["status"] == "likely"
    assert "healthy siblings read" not in cause["says"]


def test_with_nobody_to_compare_state_is_not_called(state: Services) -> None:
    cause = requests(state, nets("LU"), []).why()["cause"]
    assert cause["status"] == "likely"
    assert "healthy siblings read" not in cause["says"]


def test_what_the_program_noticed(tmp_path: Path) -> None:
    rows = [{"name": one, "mail": f"{one}@example.org" if one != "eve" else ""} for one in ("ann", "bob", "eve")]
    body = {"rows": rows, "count": 3}
    with running(tmp_path, {"app": KEEPS.replace(_MARK, "")}) as services:
        found = requests(services, [body], [{"rows": rows[:2], "count": 2}] * 3, trigger="keep")
        healthy = requests(services, [{"rows": rows[:2], "count": 2}], [], trigger="sibling")
        again = requests(services, [body], [body] * 3, trigger="keep")
        slow = requests(services, [body | {"wait": 0.7}], [{"rows": rows[:2], "count": 2}] * 6, trigger="keep")
    assert told(slow)["finding"] is None  # it was slow, too, but the program kept it for what it noticed
    assert told(slow)["cause"]["status"] == "likely"
    said = told(found)
    assert told(again)["cause"]["status"] == "unknown"  # they were kept too, and are healthy
    found.healthy = found.healthy[:2]
    assert told(found)["cause"]["status"] == "unknown"  # too few to say so
    named = [one["line"] for one in (said["cause"], *said["also"])]
    assert said["cause"]["status"] == "likely"
    assert line_of(KEEPS) in [*named, *(one["line"] for one in said["chain"])]
    assert told(healthy)["cause"]["status"] == "unknown"


def test_a_keep_without_a_condition_calls_nothing(tmp_path: Path) -> None:
    text = "import aftertrace\ndef handle(path, body):\n    aftertrace.keep('asked for')\n    return body\n"
    with running(tmp_path, {"app": text}) as services:
        assert told(requests(services, [1], [], trigger="keep"))["cause"]["status"] == "unknown"
