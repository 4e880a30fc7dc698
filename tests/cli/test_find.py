"""`aftertrace find` as a person and a program meet it: a real server, real recordings."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aftertrace import store
from aftertrace.cli.find import joined
from aftertrace.model import Keep
from aftertrace.wire.bundle import TraceData

from ..reconstruct.services import SHOP, running
from .filled import COMMAND, ask, logs, serving

MANY = 2500


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[TraceData]:
    """One that fails, one that does not, of which inventory's part is missing."""
    with running(tmp_path_factory.mktemp("shop"), SHOP) as shop:
        traces = [
            shop.trace(shop.request("gateway", "/checkout", {"country": country, "pieces": [1, 2]}))
            for country in ("CH", "DE")
        ]
    traces[1] = replace(
        traces[1], recordings=[one for one in traces[1].recordings if b'"service": "inventory"' not in one]
    )
    return [
        replace(trace, keeps=[Keep(trace.trace_id, "keep", "", "gateway", "00" * 16, trace.spans[0].start_ns)])
        for trace in traces
    ]


@pytest.fixture(scope="module")
def env(recorded: list[TraceData], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with serving(tmp_path_factory.mktemp("store") / "s", *recorded) as environment:
        environment.pop("FORCE_COLOR", None)
        environment["COLUMNS"] = "100"
        yield environment


def test_a_match_in_words(env: dict[str, str], recorded: list[TraceData]) -> None:
    done = ask(env, "find", '{ call.function = "region_for" && local.zone = "" }')
    assert done.returncode == 0, done.stderr
    head, where, *values, source = done.stdout.splitlines()
    assert recorded[0].trace_id[:8] in head
    assert "POST /checkout" in head
    assert where.split()[:3] == ["gateway", "gateway/gateway.py:6", "region_for"]
    assert [one.strip() for one in values] == ["call.function = 'region_for'", "local.zone = ''"]
    assert source.strip() == 'region = f"{country}-{zone}"'
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b" not in done.stdout
    assert "1 match in 1 request; 2 of 2 requests judged" in done.stderr
    address = where.split()[-1]
    assert f"next: aftertrace step {recorded[0].trace_id[:8]} --at {address} | aftertrace why" in done.stderr
    there = ask(env, "step", recorded[0].trace_id[:8], "--at", address, "--json")
    assert json.loads(there.stdout.splitlines()[0])["place"]["line"] == 6


def test_the_words_of_a_query_need_no_quotes_of_their_own(env: dict[str, str]) -> None:
    done = ask(env, "find", "{", "arg.country", "=", '"CH"', "}", "--json")
    answer = json.loads(done.stdout)
    assert (answer["query"], answer["matched"], answer["partial"]) == ('{ arg.country = "CH" }', 1, False)
    assert done.stderr == ""


def test_nothing_is_an_answer_with_help(env: dict[str, str]) -> None:
    done = ask(env, "find", "{ arg.contry = null }")
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 matches in 0 requests; 2 of 2 requests judged" in done.stderr
    assert "no request that was looked at had arg.contry; there is arg.country" in done.stderr
    assert "next: " in done.stderr
    done = ask(env, "find", '{ resource.service.name = "ordres" }')
    assert "0 of 0 requests judged; 2 others cannot hold it, by their spans" in done.stderr


def test_what_could_not_be_judged_is_said(env: dict[str, str]) -> None:
    done = ask(env, "find", '{ call.function = "find" && arg.region = "FR-W2" }')
    assert (done.returncode, done.stdout) == (0, "")
    *_, first, second, _ = done.stderr.splitlines()
    assert first == "1 request could not be judged:"
    assert second.split() == ["1", "`inventory`", "is", "not", "recorded"]


def test_a_query_that_cannot_be_read(env: dict[str, str]) -> None:
    done = ask(env, "find", "{ arg.country == 1 }")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[:3] == [
        "error: bad-query: At position 16 of the query, '==' is written =.",
        "  { arg.country == 1 }",
        "                 ^",
    ]
    assert json.loads(ask(env, "find", "--json", "{").stdout)["error"]["slug"] == "bad-query"
    assert ask(env, "find", "{}", "--since", "soon").returncode == 2
    assert ask(env, "find").returncode == 2


def test_a_limit(env: dict[str, str]) -> None:
    done = ask(env, "find", "{ call.duration >= 0s }", "--limit", "1")
    assert "There may be more: --limit 5" in done.stderr
    assert "more in this request" in done.stdout


def test_ls_takes_braces(env: dict[str, str], recorded: list[TraceData]) -> None:
    done = ask(env, "ls", 'service=orders { status = error && resource.service.name = "inventory" }')
    (line,) = done.stdout.splitlines()[1:]
    assert recorded[0].trace_id[:8] in line
    wrong = ask(env, "ls", "{ arg.country = `CH` }")
    assert (wrong.returncode, "aftertrace find" in wrong.stderr) == (2, True)


def test_nothing_was_kept(tmp_path: Path) -> None:
    with serving(tmp_path / "s") as env:
        done = ask(env, "find", "{}")
        assert (done.returncode, done.stdout) == (0, "")
        assert "No request was kept in that time." in done.stderr
        assert "next: " in done.stderr
        assert json.loads(ask(env, "find", "--json", "{}").stdout)["requests"] == []


@pytest.fixture(scope="module")
def many(recorded: list[TraceData]) -> list[TraceData]:
    """More requests than one page has: spans alone."""
    span = recorded[0].spans[0]
    found = []
    for number in range(MANY):
        trace_id = f"{number + 1:032x}"
        keep = Keep(trace_id, "keep", "", "gateway", "00" * 16, span.start_ns + number)
        spans = [replace(span, trace_id=trace_id, name=f"GET /{number % 7}")]
        found.append(TraceData(trace_id, spans=spans, keeps=[keep]))
    return found


def test_ctrl_c_gives_what_was_found_so_far(many: list[TraceData], tmp_path: Path) -> None:
    filled = store.open(tmp_path / "s")
    filled.add_spans([one.spans[0] for one in many])
    assert filled.add_logs([log for one in many for log in logs(one)]) == []
    filled.close()
    with serving(tmp_path / "s") as env:
        words = [*COMMAND, "find", "{ duration > 0s && arg.x = nil } || { span:name = `GET /3` }", "--limit", "1000"]
        process = subprocess.Popen(
            words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        assert process.stderr is not None
        progress = process.stderr.readline()
        assert f"of {MANY:,} requests judged" in progress, progress
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=120)
        assert process.returncode == 130
        assert "GET /3" in out
        assert "Partial: the search was ended before all requests were judged." in said
        assert "next: " in said


def test_pages_add_up() -> None:
    page = {
        "query": "{}",
        "kept": 9,
        "of": 8,
        "judged": 2,
        "matched": 1,
        "unjudged": 1,
        "matches": 3,
        "requests": ["a"],
    }
    page |= {"reasons": [{"reason": "cut", "requests": 1}], "judged_back_to_ns": 7, "cursor": "x"}
    page |= {"unmet": [{"name": "arg.a", "near": ["arg.b"]}, {"name": "arg.c", "near": []}]}
    other = {**page, "requests": ["b"], "judged_back_to_ns": 5, "cursor": ""}
    other |= {"reasons": [{"reason": "cut", "requests": 2}, {"reason": "redacted", "requests": 1}]}
    other |= {"unmet": [{"name": "arg.a", "near": ["arg.b", "arg.d"]}]}
    both = joined(page, other)
    assert (both["judged"], both["matched"], both["matches"], both["of"]) == (4, 2, 6, 8)
    assert (both["requests"], both["cursor"], both["judged_back_to_ns"]) == (["a", "b"], "", 5)
    assert both["reasons"] == [{"reason": "cut", "requests": 3}, {"reason": "redacted", "requests": 1}]
    assert both["unmet"] == [{"name": "arg.a", "near": ["arg.b", "arg.d"]}]


def test_the_light_install_needs_no_parser() -> None:
    """What it runs imports none; what would need one says what is missing."""
    program = (
        "import sys; sys.modules['lark'] = sys.modules['re2'] = None\n"
        "import aftertrace.cli.find, aftertrace.cli.open, aftertrace.explain.questions as questions\n"
        "from aftertrace.errors import NotInstalled\n"
        "from aftertrace.explain.opened import Opened\n"
        "from aftertrace.wire.bundle import TraceData\n"
        "try:\n"
        "    questions.find('find').ask(Opened(TraceData('0' * 32)), query='{}', since='', until='',\n"
        "                               limit=1, cursor='')\n"
        "except NotInstalled as error:\n"
        "    print(error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "pip install 'aftertrace[server]'\n", done.stderr
