"""`diff` and what `why` says of siblings, over a real server and store: marks say who is a sibling, who a member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aftertrace.model import Keep
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import SHOP, Services, running
from .filled import ask, serving

GROUP = "00112233445566ff"


def kept(shop: Services, country: str, number: int, role: str) -> TraceData:
    trace = shop.trace(shop.request("gateway", "/checkout", {"country": country, "pieces": [number]}))
    keeps = [
        Keep(
            trace.trace_id,
            "unhandled-exception" if role == "failure" else "sibling",
            "KeyError: 'CH-'" if role == "failure" else "",
            span.service,
            "00" * 16,
            span.end_ns,
            role=role,
            route="POST /checkout",
            group=GROUP if role == "failure" else "",
            title="KeyError in inventory" if role == "failure" else "",
        )
        for span in trace.spans
        if span.service == "gateway" and span.name == "POST /checkout"
    ]
    assert len(keeps) == 1
    return replace(trace, keeps=keeps)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[TraceData]]:
    with running(tmp_path_factory.mktemp("shop"), SHOP) as shop:
        healthy = [kept(shop, "DE" if n % 2 else "FR", n, "sibling") for n in range(8)]
        return {"healthy": healthy, "failing": [kept(shop, "CH", n, "failure") for n in range(5)]}


@pytest.fixture(scope="module")
def env(traces: dict[str, list[TraceData]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    all_of_them = [one for found in traces.values() for one in found]
    with serving(tmp_path_factory.mktemp("store") / "s", *all_of_them) as environment:
        environment.pop("FORCE_COLOR", None)
        yield environment | {"COLUMNS": "120"}


def test_against_siblings_of_the_store(env: dict[str, str], traces: dict[str, list[TraceData]]) -> None:
    trace_id = traces["failing"][0].trace_id
    done = ask(env, "diff", trace_id[:12], "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert sorted(said["against"]["trace_ids"]) == sorted(one.trace_id for one in traces["healthy"])
    assert (said["against"]["group"], len(said["against"]["failing"])) == (GROUP, 4)
    first = said["first"]
    assert (first["name"], first["here"]["text"], first["failing"]) == (
        "body['country']",
        "'CH'",
        {"count": 5, "of": 5},
    )
    assert said["differences"][0]["q"] < 0.1


def test_text_and_what_to_do_next(env: dict[str, str], traces: dict[str, list[TraceData]]) -> None:
    trace_id = traces["failing"][0].trace_id
    done = ask(env, "diff", trace_id)
    assert done.returncode == 0
    assert "5 failures of its group against 8 healthy siblings" in done.stdout
    assert "FIRST DIVERGENCE" in done.stdout
    assert done.stderr.startswith(f"next: aftertrace step {trace_id[:8]} --at ")
    command = done.stderr.removeprefix("next: aftertrace ").split(" | ")[0].split()
    stepped = ask(env, *command, stdin="print body\n")
    assert stepped.returncode == 0
    assert "CH" in stepped.stdout


def test_against_one_other(env: dict[str, str], traces: dict[str, list[TraceData]]) -> None:
    bad, good = traces["failing"][0].trace_id, traces["healthy"][0].trace_id
    said = json.loads(ask(env, "diff", bad, good, "--json").stdout)
    assert said["against"] == {"kind": "request", "trace_ids": [good], "group": "", "failing": []}
    assert said["first"]["service"] == "gateway"
    done = ask(env, "diff", bad, good)
    assert f"against {good[:8]}" in done.stdout


@pytest.mark.parametrize("words", [("f" * 32,), ("last", "f" * 32)])
def test_what_is_not_there(env: dict[str, str], words: tuple[str, ...]) -> None:
    done = ask(env, "diff", *words)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: no-such-trace" in done.stderr


def test_itself(env: dict[str, str], traces: dict[str, list[TraceData]]) -> None:
    trace_id = traces["failing"][0].trace_id
    done = ask(env, "diff", trace_id, trace_id)
    assert done.returncode == 2
    assert "same-request" in done.stderr


def test_why_knows_the_group_and_the_siblings(env: dict[str, str], traces: dict[str, list[TraceData]]) -> None:
    trace_id = traces["failing"][0].trace_id
    said = json.loads(ask(env, "why", trace_id, "--json").stdout)
    assert (said["group"]["id"], said["group"]["count"], said["group"]["title"]) == (GROUP, 5, "KeyError in inventory")
    assert said["impact"]["routes"] == ["POST /checkout"]
    assert {one["kind"]: (one["count"], one["of"]) for one in said["evidence"]} == {
        "other-value": (8, 8),
        "group-value": (4, 4),
    }
    done = ask(env, "why", trace_id)
    assert done.stdout.split("\n")[1].startswith(f"group {GROUP[:8]}: 5x since ")
    assert len(done.stdout.rstrip().split("\n")) <= 20
    assert f"aftertrace diff {trace_id[:8]}" in done.stderr


def test_a_request_without_siblings(tmp_path: Path, traces: dict[str, list[TraceData]]) -> None:
    with serving(tmp_path / "s", traces["failing"][0]) as alone:
        done = ask(alone, "diff", "last")
    assert done.returncode == 0
    assert "no healthy request of its routes was kept" in done.stdout
