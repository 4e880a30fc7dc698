"""`find` on requests of real recorded services, out of a real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aftertrace import _native
from aftertrace import store as stores
from aftertrace.errors import UsageError
from aftertrace.explain import find, questions, spansets
from aftertrace.explain.world import World
from aftertrace.model import Keep, SpanEvent
from aftertrace.reconstruct.build import build
from aftertrace.reconstruct.execution import StepKind
from aftertrace.store.store import Store
from aftertrace.traceql.parse import parse
from aftertrace.wire.bundle import AgentPart, Coverage, TraceData

from ..cli.filled import logs
from ..reconstruct.services import running

PROGRAMS = {
    "front": """
from bus import call, put
ZONES = {"DE": "W1"}
class Basket:
    def __init__(self, lines):
        self.lines = lines
        self.note = "n" * 5000
def zone_of(country):
    zone = ZONES.get(country)
    return zone
def log_in(user, password):
    token = password.upper()
    return len(token)
def handle(path, body):
    basket = Basket(body["lines"])
    zone = zone_of(body["country"])
    log_in("ann", "secret word")
    answer = call("stock", "/take", {"lines": basket.lines, "zone": zone})
    put("mail", {"to": "ann"})
    return answer
""",
    "stock": """
PIECES = {"A": 3, "B": 0}
class Warehouse:
    def reserve(self, sku, qty):
        left = PIECES[sku] - qty
        for n in range(3):
            step = n * 10
        return left
def handle(path, body):
    warehouse = Warehouse()
    found = [warehouse.reserve(sku, qty) for sku, qty in body["lines"]]
    return found
""",
    "mail": """
def letter(to):
    return None
def handle(path, body):
    letter(body["to"])
""",
}
BODIES = [
    {"country": "DE", "lines": [["A", 1]]},
    {"country": "CH", "lines": [["A", -2], ["B", 1]]},
    {"country": "DE", "lines": [["Z", 1]]},
]
STEPPED = ("Warehouse.reserve", 6, 1)
NOW = 1_700_000_000_000_000_000


def record(directory: Path, level: int) -> list[TraceData]:
    """The three requests, kept one second after the other; the last fails."""
    with running(directory, PROGRAMS, level=level) as services:
        found = []
        for number, body in enumerate(BODIES):
            trace_id = services.request("front", "/buy", body)
            if number < 2:
                services.wait_for_span("mail", trace_id, "process")
            name = {_native.LEVEL_CALLS: "calls", _native.LEVEL_LINES: "lines"}[level]
            trace = services.trace(trace_id, name)
            keep = Keep(trace_id, "keep", "", "front", "00" * 16, NOW + number * 10**9)
            found.append(replace(trace, keeps=[keep]))
        return found


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[TraceData]:
    return record(tmp_path_factory.mktemp("lines"), _native.LEVEL_LINES)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[TraceData]:
    return record(tmp_path_factory.mktemp("calls"), _native.LEVEL_CALLS)


def fill(store: Store, traces: list[TraceData]) -> None:
    for trace in traces:
        store.add_spans(trace.spans)
        assert store.add_logs(logs(trace)) == []


@pytest.fixture(scope="module")
def store(lines: list[TraceData], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = stores.open(tmp_path_factory.mktemp("store") / "s")
    fill(opened, lines)
    yield opened
    opened.close()


type Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(store: Store) -> Asked:
    def ask(query: str, **more: Any) -> dict[str, Any]:
        arguments = questions.find("find").read({"query": query, **{name: str(one) for name, one in more.items()}})
        return questions.find("find").ask(store, **arguments).to_json()

    return ask


def told(answer: dict[str, Any], lines: list[TraceData]) -> list[tuple[int, str, int, int]]:
    """(request, function or span, line, times)"""
    ids = [trace.trace_id for trace in lines]
    return sorted(
        (ids.index(one["trace_id"]), match["function"] or match["span"], match["line"], match["times"])
        for one in answer["requests"]
        for match in one["matches"]
    )


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('{ call.function = "reserve" && arg.qty < 0 }', [(1, "Warehouse.reserve", 4, 1)]),
        ('{ call.function = "Warehouse.reserve" && arg.sku = "B" }', [(1, "Warehouse.reserve", 4, 1)]),
        ('{ call.function =~ "res.*" && return = 5 }', [(1, "Warehouse.reserve", 8, 1)]),
        ("{ return < 0 }", [(1, "Warehouse.reserve", 8, 1)]),
        ('{ call.function = "zone_of" && return = null }', [(1, "zone_of", 10, 1)]),
        ('{ call.function = "reserve" && return = nil }', [(2, "Warehouse.reserve", 5, 1)]),
        ('{ exception.type = "KeyError" }', [(2, "Warehouse.reserve", 5, 1)]),
        ('{ exception.message = "Z" && resource.service.name = "stock" }', [(2, "Warehouse.reserve", 5, 1)]),
        ("{ local.left > 4 }", [(1, "Warehouse.reserve", 6, 1)]),
        ('{ local.zone = null && line = "front.py:17" }', [(1, "handle", 17, 1)]),
        ('{ line = "stock/stock.py:7" && arg.sku = "B" }', [(1, "Warehouse.reserve", 7, 3)]),
        ("{ local.step = 10 }", [(0, *STEPPED), (1, *STEPPED), (1, *STEPPED)]),
        ("{ len(arg.body.lines) > 1 && arg.body.country = `CH` }", [(1, "handle", 14, 1)]),
        ("{ local.found[0] > 4 }", [(1, "handle", 12, 1)]),
        ("{ len(local.basket.note) = 5000 && local.zone = null }", [(1, "handle", 17, 1)]),
        ('{ kind = server && status = error && resource.service.name = "stock" }', [(2, "POST /take", 0, 1)]),
        ('{ span.http.response.status_code = 200 && name = "POST /take" }',
         [(0, "POST /take", 0, 1), (1, "POST /take", 0, 1)]),
        ('{ call.function = "reserve" && span:name = "POST /take" && arg.qty = -2 }', [(1, "Warehouse.reserve", 4, 1)]),
        ('{ status = error } >> { call.function = "reserve" }', [(2, "Warehouse.reserve", 4, 1)]),
        ('{ name = "POST /buy" } > { call.function = "reserve" }', []),
        ('{ name = "POST /take" } > { call.function = "handle" && return = nil }', [(2, "handle", 11, 1)]),
        ('{ call.function = "handle" } > { call.function = "reserve" && arg.qty < 0 }',
         [(1, "Warehouse.reserve", 4, 1)]),
        ('{ call.function = "zone_of" } >> { call.function = "reserve" }', []),
        ('{ resource.service.name = "front" } >> { call.function = "letter" && arg.to = "ann" }',
         [(0, "letter", 2, 1), (1, "letter", 2, 1)]),
        ('{ line = "front.py:18" } >> { arg.qty < 0 }', [(1, "Warehouse.reserve", 4, 1)]),
        ('{ line = "front.py:17" } >> { arg.qty < 0 }', []),
        ('{ line = "front.py:17" } > { call.function = "log_in" } && { arg.qty < 0 }',
         [(1, "Warehouse.reserve", 4, 1), (1, "log_in", 11, 1)]),
        ('{ arg.qty < 0 } || { exception.type = "KeyError" && arg.qty = 1 }',
         [(1, "Warehouse.reserve", 4, 1), (2, "Warehouse.reserve", 5, 1)]),
        ('{ arg.qty < 0 } && { exception.type = "KeyError" }', []),
    ],
)  # fmt: skip
def test_what_is_found(asked: Asked, lines: list[TraceData], query: str, expected: list[Any]) -> None:
    answer = asked(query)
    assert told(answer, lines) == sorted(expected)
    assert answer["judged"] == answer["of"]
    assert (answer["unjudged"], answer["reasons"], answer["cursor"]) == (0, [], "")


def test_a_match_says_where_it_is_and_what_made_it_so(asked: Asked, lines: list[TraceData]) -> None:
    (request,) = asked('{ call.function = "reserve" && arg.qty < 0 }')["requests"]
    assert (request["trace_id"], request["name"], request["more"]) == (lines[1].trace_id, "POST /buy", 0)
    (match,) = request["matches"]
    assert (match["service"], match["kind"], match["source"]) == ("stock", "call", "def reserve(self, sku, qty):")
    assert match["path"].endswith("/stock/stock.py")
    assert [(one["name"], one["text"], one["type"]) for one in match["values"]] == [
        ("call.function", "'Warehouse.reserve'", "str"),
        ("arg.qty", "-2", "int"),
    ]
    step = build(lines[1]).at_address(match["address"])
    assert (step.index, step.kind, step.line) == (match["step"], StepKind.START, 4)
    assert match["span"] == "POST /take"


def test_what_was_redacted_or_cut_is_unknown_and_counted(asked: Asked) -> None:
    for query, why in (
        ('{ arg.password = "secret word" }', "arg.password: redacted"),
        ('{ arg.password != "secret word" }', "arg.password: redacted"),
        ('{ local.basket.note =~ "n+x" }', "local.basket.note: cut"),
    ):
        answer = asked(query)
        assert (answer["requests"], answer["unjudged"], answer["judged"]) == ([], 3, 3)
        assert answer["reasons"] == [{"reason": why, "requests": 3}]
    assert asked('{ arg.password = "x" && call.function = "zone_of" }')["unjudged"] == 0
    assert asked("{ arg.password != nil }")["matched"] == 3


def test_a_match_is_one_whatever_else_is_unknown(asked: Asked) -> None:
    answer = asked('{ arg.password = "x" } || { arg.qty < 0 }')
    assert (answer["matched"], answer["unjudged"]) == (1, 2)


def test_pages_are_the_whole(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    query = '{ call.function = "handle" && resource.service.name != "mail" }'
    whole = asked(query)
    assert (whole["matched"], whole["matches"], whole["cursor"]) == (3, 6, "")
    monkeypatch.setattr(find, "_PAGE_REQUESTS", 1)
    pages = [asked(query)]
    while pages[-1]["cursor"]:
        pages.append(asked(query, cursor=pages[-1]["cursor"]))
    assert [request for page in pages for request in page["requests"]] == whole["requests"]
    assert sum(page["judged"] for page in pages) == whole["judged"]
    assert {page["of"] for page in pages} == {3}


def test_a_limit_of_matches(asked: Asked) -> None:
    query = '{ call.function = "handle" && resource.service.name != "mail" }'
    first = asked(query, limit=1)
    assert (first["matches"], first["requests"][0]["more"], bool(first["cursor"])) == (1, 1, True)
    rest = asked(query, cursor=first["cursor"])
    assert (rest["matches"], rest["judged"]) == (4, 2)


def test_only_some_matches_of_a_request_are_told(asked: Asked, lines: list[TraceData]) -> None:
    answer = asked("{ call.duration >= 0s } || { kind != unspecified }", limit=1000)
    for request in answer["requests"]:
        assert len(request["matches"]) == 5
        execution = build(next(trace for trace in lines if trace.trace_id == request["trace_id"]))
        assert request["more"] == len(execution.frames) + len(execution.spans) - 5


def test_times(asked: Asked, lines: list[TraceData], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: NOW + 10 * 10**9)
    query = '{ call.function = "handle" }'
    newest = [trace.trace_id for trace in reversed(lines)]
    assert [one["trace_id"] for one in asked(query)["requests"]] == newest
    assert [one["trace_id"] for one in asked(query, since="9s")["requests"]] == newest[:2]
    assert [one["trace_id"] for one in asked(query, until="9s")["requests"]] == newest[1:]
    assert asked(query, since="2023-11-14T22:13:22+00:00")["kept"] == 1


@pytest.mark.parametrize(
    ("more", "slug"),
    [
        ({"since": "soon"}, "bad-since"),
        ({"until": "soon"}, "bad-until"),
        ({"limit": 0}, "bad-limit"),
        ({"limit": 1001}, "bad-limit"),
        ({"cursor": "1.2"}, "bad-cursor"),
        ({"cursor": f"{9 * 10**18 * 2}.{'0' * 32}.1"}, "bad-cursor"),
        ({"query": "{ arg.qty"}, "bad-query"),
    ],
)
def test_what_cannot_be_asked(asked: Asked, more: dict[str, Any], slug: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(**{"query": "{}", **more})
    assert caught.value.slug == slug


def test_names_that_nothing_had_come_with_those_that_were_meant(asked: Asked) -> None:
    def unmet(query: str) -> Any:
        return [(one["name"], one["near"][:1]) for one in asked(query)["unmet"]]

    assert unmet("{ arg.quty < 0 }") == [("arg.quty", ["arg.qty"])]
    assert unmet("{ local.zon = null }") == [("local.zon", ["local.zone"])]
    assert unmet('{ call.function = "resreve" }') == [('"resreve"', ['"reserve"'])]
    assert unmet("{ span.http.response.status = 200 }") == [
        ("span.http.response.status", ["span.http.response.status_code"])
    ]
    assert unmet('{ arg.body.contry = "CH" }') == [("arg.body.contry", [])]
    assert unmet('{ call.function = "reserve" && arg.qty < 100 }') == []
    assert unmet('{ resource.service.name = "nobody" }') == []


# -- what was not recorded


def found_in(trace: TraceData, query: str) -> spansets.Found:
    return spansets.ask(parse(query), World(build(trace)))


def without(trace: TraceData, service: str) -> TraceData:
    kept = [one for one in trace.recordings if build(replace(trace, recordings=[one])).processes[0].service != service]
    assert len(kept) == len(trace.recordings) - 1
    return replace(trace, recordings=kept)


def test_a_service_without_a_recording_is_a_doubt_where_it_could_matter(lines: list[TraceData]) -> None:
    trace = without(lines[1], "stock")
    for query in ("{ arg.qty < 0 }", '{ exception.type = "KeyError" }', '{ line = "stock.py:5" }'):
        assert found_in(trace, query).doubts() == ["`stock` is not recorded"]
    for query in (
        '{ resource.service.name = "front" && arg.qty < 0 }',
        "{ status = error }",
        '{ name = "x" } >> { arg.qty < 0 }',
    ):
        assert not found_in(trace, query).possible()
    foreign = [
        replace(
            one,
            resource=replace(one.resource, attributes={**one.resource.attributes, "telemetry.sdk.language": "java"}),
        )
        if one.service == "stock"
        else one
        for one in trace.spans
    ]
    assert not found_in(replace(trace, spans=foreign), "{ arg.qty < 0 }").possible()


def test_exceptions_of_services_that_are_not_recorded_are_told_by_their_spans(lines: list[TraceData]) -> None:
    event = SpanEvent(1, "exception", {"exception.type": "java.lang.BadState", "exception.message": "no"})
    spans = [replace(one, events=(event,)) if one.service == "stock" else one for one in lines[2].spans]
    trace = replace(without(lines[2], "stock"), spans=spans)
    found = found_in(trace, '{ exception.type = "BadState" && exception.message = "no" }')
    assert [key[0] for key in found.yes] == ["span"]
    assert found_in(trace, '{ exception.type = "BadState" && arg.x = 1 }').doubts() == [
        "arg.x: `stock` is not recorded",
        "`stock` is not recorded",
    ]


def test_agents_that_did_not_give_all_are_a_doubt(lines: list[TraceData]) -> None:
    silent = AgentPart("a1", "h1", ["stock"])
    trace = replace(without(lines[1], "stock"), coverage=Coverage(2, 0, 1, [silent]))
    doubts = ["the agent of `stock` did not answer"]
    assert found_in(trace, '{ call.function = "nothing" }').doubts() == doubts
    assert found_in(trace, '{ resource.service.name = "stock" && name = "GET /" }').doubts() == doubts
    assert not found_in(trace, '{ resource.service.name = "front" && name = "x" }').possible()


def test_a_missing_piece_is_a_doubt(lines: list[TraceData]) -> None:
    trace = replace(lines[1], problems=["piece 2 of 3 is missing"])
    assert found_in(trace, '{ call.function = "nothing" }').doubts() == ["missing"]
    assert found_in(trace, "{ arg.qty < 0 }").yes


def test_without_lines_what_ends_of_calls_tell_is_judged_and_the_rest_is_unknown(calls: list[TraceData]) -> None:
    for query in (
        '{ call.function = "reserve" && arg.qty < 0 }',
        '{ call.function = "reserve" && return = 5 }',
        "{ local.left > 4 }",  # at its end
        '{ call.function = "zone_of" && local.zone = null }',
    ):
        assert [one.subject.frame.code.name for one in found_in(calls[1], query).yes.values()], query
    for query in ('{ line = "stock.py:7" }', "{ local.step = 10 }"):
        found = found_in(calls[1], query)
        assert not found.yes
        assert all("lines of this call were not recorded" in doubt for doubt in found.doubts()), query
        assert found.doubts()
    for query in (
        '{ line = "stock.py:70" }',
        "{ local.nothing = 10 }",
        '{ local.step = 10 && call.function = "zone_of" }',
    ):
        assert not found_in(calls[1], query).possible(), query
    assert found_in(calls[2], '{ exception.type = "KeyError" }').yes


def test_a_cut_recording_is_never_more_certain(lines: list[TraceData]) -> None:
    """A request whose recording ends early may hold what was asked for, or does not; nothing new is found in it."""
    query = "{ local.left > 4 }"
    for trace in (lines[0], lines[1]):
        whole = build(trace)
        names = {address.address for address in whole.steps}
        for keep in range(1, 9):
            cut = replace(trace, recordings=[one[: len(one) * keep // 9] for one in trace.recordings])
            world = World(build(cut))
            found = spansets.ask(parse(query), world)
            assert {world.execution.steps[key[1]].address for key in found.yes} <= names
            if trace is lines[0]:
                assert not found.yes
            elif not found.yes:
                assert found.doubts()


# -- laws

# fmt: off
FILTERS = st.sampled_from(
    [
        "{}", '{ resource.service.name = "front" }', "{ status = error }", "{ kind = client }", "{ arg.qty < 0 }",
        '{ call.function = "handle" }', '{ call.function = "reserve" }', '{ exception.type = "KeyError" }',
        "{ call.duration >= 0s }",
        "{ local.zone = null }", '{ line = "front.py:18" }', '{ arg.password = "x" }',
        "{ return != null }",
    ]
)
# fmt: on
REQUESTS = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@REQUESTS
@given(FILTERS, FILTERS, FILTERS, st.integers(0, 2))
def test_laws_of_spansets(lines: list[TraceData], a: str, b: str, c: str, number: int) -> None:
    world = World(build(lines[number]))

    def yes(query: str) -> set[Any]:
        return set(spansets.ask(parse(query), world).yes)

    assert yes(f"{a} > {b}") <= yes(f"{a} >> {b}") <= yes(b)
    assert yes(f"({a} || {b}) >> {c}") == yes(f"{a} >> {c}") | yes(f"{b} >> {c}")
    assert yes(f"{a} >> ({b} || {c})") == yes(f"{a} >> {b}") | yes(f"{a} >> {c}")
    assert yes(f"{a} >> {b} >> {c}") <= yes(f"{a} >> {c}")
    assert yes(f"{a} && {b}") == (yes(a) | yes(b) if yes(a) and yes(b) else set())
    assert yes(f"{a} && {b}") == yes(f"{b} && {a}")
    chain = spansets.Order(world)
    for key in yes(f"{a} >> {b}"):
        assert set(chain.ancestors(key)) & yes(a)
        assert key not in set(chain.ancestors(key))
