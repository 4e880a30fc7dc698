"""Where real recorded requests part from others: branch, value, exception, statement; and that equal ones do not."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aftertrace.errors import UsageError
from aftertrace.explain.compared.contexts import Contexts
from aftertrace.explain.compared.differ import contrast
from aftertrace.explain.compared.profile import profile
from aftertrace.explain.scene import company
from aftertrace.explain.scene.scene import Scene
from aftertrace.reconstruct.build import build
from aftertrace.show import diff as shown
from aftertrace.show.console import Console

from ..reconstruct.services import Services, running
from .compared import requests
from .generated import program as generated

PROGRAM = """
ZONES = {"DE": "W1", "FR": "W2", "NL": "N1"}
def price(pieces, kind):
    total = 0
    for piece in pieces:
        if piece > 90:
            total += piece // 2
        else:
            total += piece
    if kind == "gold":
        total = total - 5
    return total
def zone_of(country):
    zone = ZONES.get(country, "")
    return zone
def amount_of(cents):
    amount = f"{cents / 100:,.2f}"
    return amount
def parse(word):
    try:
        number = int(word)
    except ValueError:
        number = -1
    return number
def rows(n):
    found = []
    for i in range(n):
        found.append(row(i))
    return found
def row(i):
    return i
def deep(n):
    return deep(n - 1) if n else 0
def set_level(level):
    from aftertrace import _native
    zone_of("DE")  # what was never called has no level
    _native.set_code_level(zone_of.__code__, level)
def handle(path, body):
    if path == "/level":
        return set_level(body)
    if path == "/zone":
        return 10 // len(zone_of(body["country"]))
    if path == "/amount":
        return float(amount_of(body["cents"]))
    if path == "/parse":
        return 1 / (1 + parse(body["word"]))
    if path == "/rows":
        return rows(body["n"])
    if path == "/deep":
        return deep(body["n"])
    return price(body["pieces"], body.get("kind", ""))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("diff"), {"app": PROGRAM}) as services:
        yield services


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.split("\n"), 1) if line.strip() == text)


def pieces(*counts: int, **more: Any) -> dict[str, Any]:
    return {"pieces": list(counts), **more}


def kinds(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["kind"], one["name"]) for one in said["differences"]]


# -- against healthy siblings


def test_the_value_that_no_sibling_had(program: Services) -> None:
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 4]
    said = requests(program, [{"country": "CH"}], good, path="/zone").diff()
    first = said["first"]
    assert (first["kind"], first["name"], first["here"]["text"]) == ("value", "body['country']", "'CH'")
    assert {(one["text"], one["count"]) for one in first["there"]} == {("'DE'", 4), ("'FR'", 4), ("'NL'", 4)}
    assert (first["failing"], first["healthy"]) == ({"count": 1, "of": 1}, {"count": 0, "of": 12})
    assert first["p"] == said["least_p"] == pytest.approx(1 / 13)
    zone = next(one for one in said["differences"] if one["name"] == "zone")
    assert (zone["line"], zone["here"]["text"]) == (line_of('zone = ZONES.get(country, "")'), "''")
    assert said["next"][0] == f"step {said['trace_id'][:8]} --at {first['address']}"
    json.dumps(said)


def test_the_branch_that_no_sibling_took(program: Services) -> None:
    """Each went round as often as it had pieces: how often is no difference."""
    good = [pieces(*range(n % 5 + 1)) for n in range(12)]
    said = requests(program, [pieces(1, 2, 95, 3)], good).diff()
    branches = [one for one in said["differences"] if one["kind"] == "branch"]
    assert [(one["line"], one["lines"]) for one in branches] == [
        (line_of("total += piece // 2"), [line_of("total += piece")]),
    ]
    assert "healthy ones to" in branches[0]["says"]
    assert not any(one["kind"] in {"not-run", "count"} for one in said["differences"])


def test_how_a_text_is_made(program: Services) -> None:
    """Every amount is another one: that it is new says nothing, that it has a comma does."""
    good = [{"cents": 1000 + 37 * n} for n in range(15)]
    said = requests(program, [{"cents": 124900}], good, path="/amount").diff()
    amount = next(one for one in said["differences"] if one["name"] == "amount")
    assert (amount["trait"], amount["here"]["text"]) == ("made", "'1,249.00'")
    assert said["first"]["kind"] == "raised"  # a difference in kind goes before how a text is made
    assert not any(one["trait"] == "is" for one in said["differences"])


def test_an_exception_that_was_handled(program: Services) -> None:
    good = [{"word": str(n % 4 + 1)} for n in range(12)]
    said = requests(program, [{"word": "x"}], good, path="/parse").diff()
    raised = next(one for one in said["differences"] if one["kind"] == "raised")
    assert (raised["line"], raised["says"]) == (line_of("number = int(word)"), "raises ValueError")
    missing = [one for one in said["differences"] if one["kind"] == "not-run"]
    assert all(one["failing"]["count"] == 0 and one["address"] == "" for one in missing)


def test_called_more_often_than_in_any_sibling(program: Services) -> None:
    said = requests(program, [{"n": 300}], [{"n": n % 9 + 1} for n in range(18)], path="/rows").diff()
    often = next(one for one in said["differences"] if one["kind"] == "count")
    assert often["says"] == "row() 300x; at most 9x in a healthy request"
    assert (often["failing"], often["healthy"]) == ({"count": 1, "of": 1}, {"count": 0, "of": 18})
    assert any("later visits" in one for one in said["cut"])


def test_the_group_makes_it_significant(program: Services) -> None:
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 6]
    alone = requests(program, [{"country": "CH"}], good, path="/zone").diff()
    many = requests(program, [{"country": "CH"}] * 6, good, path="/zone").diff()
    assert alone["differences"][0]["q"] > 0.05
    assert many["differences"][0]["q"] < 0.001
    assert many["first"]["failing"] == {"count": 6, "of": 6}
    assert many["least_p"] == pytest.approx(1 / 134596)  # 24 over 6


def test_only_some_of_the_group_have_it(program: Services) -> None:
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 6]
    said = requests(program, [{"country": one} for one in ("CH", "AT", "LU")], good, path="/zone").diff()
    by_name = {one["name"]: one for one in said["differences"]}
    assert by_name["zone"]["failing"] == {"count": 3, "of": 3}
    assert by_name["body['country']"]["failing"] == {"count": 1, "of": 3}
    assert [one["name"] for one in said["differences"]].index("zone") == 0  # it separates better


# -- nothing to tell


def test_equal_requests_do_not_part(program: Services) -> None:
    said = requests(program, [pieces(1, 2)], [pieces(1, 2)] * 5).diff()
    assert (said["first"], said["differences"]) == (None, [])
    assert said["compared"] > 10
    assert said["unknown"]


@pytest.mark.parametrize("seed", range(3))
def test_random_programs_with_equal_requests_do_not_part(tmp_path: Path, seed: int) -> None:
    """Their values, objects and addresses are those of other requests: nothing of that is a difference."""
    text, causes = generated(seed, 12)
    body = {"n": 5 + seed, "yes": True}
    with running(tmp_path, {"app": text}) as services:
        for case in range(len(causes)):
            same = {"case": str(case), **body}
            found = requests(services, [same], [same] * 4)
            said = found.diff()
            assert (said["first"], said["differences"]) == (None, []), said["differences"]
            assert said["compared"] > 3
            said = found.diff(other=found.healthy[0].trace_id)
            assert (said["first"], said["differences"]) == (None, []), said["first"]


def test_random_programs_part_where_the_input_does(tmp_path: Path) -> None:
    text, causes = generated(7, 8)
    with running(tmp_path, {"app": text}) as services:
        for case in range(len(causes)):
            bad, good = ({"case": str(case), "n": n, "yes": True} for n in (3, 5))
            said = requests(services, [bad], [good] * 4).diff()
            assert (said["first"]["name"], said["first"]["here"]["text"]) == ("body['n']", "3")


def test_false_alarms_are_as_rare_as_q_says(program: Services) -> None:
    """Requests made by chance all in the same way: with the group's members nothing is significant."""
    chance = random.Random(5)
    bodies = [pieces(*(chance.randint(0, 120) for _ in range(chance.randint(1, 6)))) for _ in range(24)]
    for n, body in enumerate(bodies):
        body["kind"] = "gold" if n % 3 == 0 else ""
    chance.shuffle(bodies)
    said = requests(program, bodies[:6], bodies[6:]).diff()
    assert said["compared"] > 20
    assert not [one for one in said["differences"] if one["q"] < 0.05]


def test_nobody_to_compare_with(program: Services) -> None:
    said = requests(program, [pieces(1)], []).diff()
    assert (said["first"], said["differences"], said["least_p"]) == (None, [], None)
    assert "no healthy request" in said["unknown"][0]
    assert "no healthy request" in shown.render(said, Console(100))


# -- against one other


def other(program: Services, bad: Any, good: Any, path: str = "/x", siblings: int = 0) -> dict[str, Any]:
    found = requests(program, [bad], [good] * (1 + siblings), path=path)
    return found.diff(other=found.healthy[0].trace_id)


def test_another_branch_than_the_other_request(program: Services) -> None:
    """Both took both branches, in another round: it is the round that counts."""
    said = other(program, pieces(1, 95, 3), pieces(1, 3, 95))
    first = said["first"]
    assert (first["kind"], first["name"]) == ("value", "body['pieces']")
    said = other(program, {"word": "x"}, {"word": "7"}, "/parse")
    assert said["first"]["name"] == "body['word']"
    assert said["against"]["kind"] == "request"
    assert said["differences"][0]["p"] is None


def test_rounds_of_a_loop_are_told_as_such(tmp_path: Path) -> None:
    with running(tmp_path, {"app": ROUNDS}) as services:
        found = requests(services, [{}], [{}])
        first = found.diff(other=found.healthy[0].trace_id)["first"]
    assert (first["kind"], first["line"]) == ("rounds", 4)
    assert (first["here_line"]["line"], first["there_line"]["line"]) == (6, 5)  # the second finds nothing left
    assert "different number of times" in first["says"]


ROUNDS = """
STATE = [3, 2]
def handle(path, body):
    while len(STATE) > 1 and STATE[-1] > 0:
        STATE[-1] -= 1
    STATE.pop()
"""


def test_the_same_request_twice_is_refused(program: Services) -> None:
    found = requests(program, [pieces(1)], [pieces(1)])
    with pytest.raises(UsageError) as raised:
        found.diff(other=found.failing[0].trace_id)
    assert raised.value.slug == "same-request"


def test_values_that_siblings_vary_in_are_no_parting(program: Services) -> None:
    """What differs among the healthy too does not part one from another."""
    good = [{"country": one} for one in ["DE", "FR", "NL", "FR", "NL"]]
    found = requests(program, [{"country": "DE"}], good, path="/zone")
    said = found.diff(other=found.healthy[1].trace_id)
    assert said["first"] is None


# -- levels, length, text


def test_calls_alone(program: Services) -> None:
    """Without lines arguments, results and exceptions are compared; it says so."""
    program.request("app", "/level", 1)
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 4]
    said = requests(program, [{"country": "CH"}], good, path="/zone").diff()
    program.request("app", "/level", 2)
    by_name = {one["name"]: one for one in said["differences"]}
    assert by_name["country" if "country" in by_name else "body['country']"]["here"]["text"] == "'CH'"
    zone = next((one for one in said["differences"] if one["here"] and one["here"]["text"] == "''"), None)
    assert zone is not None
    assert not any(one["kind"] == "branch" and "zone_of" in one["function"] for one in said["differences"])
    assert any("lines of this request were not all recorded" in one for one in said["coverage"]["says"])


def test_siblings_without_lines_are_said_and_not_counted(program: Services) -> None:
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 2]
    found = requests(program, [{"country": "CH"}], good, path="/zone")
    program.request("app", "/level", 1)
    found.healthy += requests(program, [], good[:2], path="/zone").healthy
    program.request("app", "/level", 2)
    said = found.diff()
    zone = next(one for one in said["differences"] if one["name"] == "zone" and one["line"])
    assert zone["healthy"] == {"count": 0, "of": 6}
    assert any("2 of 8 others without all lines" in one for one in said["coverage"]["says"])
    text = shown.render(said, Console(120))
    assert "2 of 8 others without all lines" in text


def test_text(program: Services) -> None:
    good = [{"country": one} for one in ["DE", "FR", "NL"] * 4]
    found = requests(program, [{"country": "CH"}], good, path="/zone")
    lines = shown.render(found.diff(), Console(120)).split("\n")
    assert len(lines) <= 22
    assert all(len(line) <= 120 for line in lines)
    assert any("FIRST DIVERGENCE" in line for line in lines)
    assert any("here" in line and "'CH'" in line for line in lines)
    assert any("healthy" in line and "'DE' 4x" in line and "0 of 12" in line for line in lines)
    text = shown.render(found.diff(other=found.healthy[0].trace_id), Console(80))
    assert f"against {found.healthy[0].trace_id[:8]}" in text


def test_recursion_is_one_way(program: Services) -> None:
    said = requests(program, [{"n": 300}], [{"n": 280 + n} for n in range(4)], path="/deep").diff()
    assert said["compared"] < 100
    assert not any(one["kind"] in {"branch", "call", "not-run"} for one in said["differences"])


def test_long_siblings_are_left_out_and_that_is_said(program: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(company, "_MOST_STEPS", 2000)
    found = requests(program, [{"n": 100}], [{"n": 100}] * 6, path="/rows")
    said = found.diff()
    assert len(said["against"]["trace_ids"]) == 4  # of 500 steps each
    assert "2 more siblings were left out: the recordings are long" in said["cut"]


def test_a_comparison_of_long_requests_takes_seconds(tmp_path: Path) -> None:
    """24 siblings of 50,000 steps each. Reading them is another matter: see `company`."""
    with running(tmp_path, {"app": PROGRAM}, ring_bytes=64 << 20) as services:
        trace = services.trace(services.request("app", "/rows", {"n": 10_000}))
    scene = Scene(build(trace))
    assert len(scene.execution.steps) > 50_000
    begun = time.process_time()
    contexts = Contexts()
    subject, *siblings = [profile(scene, contexts) for _ in range(25)]
    found = contrast(contexts, subject, [], siblings)
    assert time.process_time() - begun < 20
    assert (found.first, found.differences) == (None, [])
    assert any("later visits" in one for one in found.cut)
