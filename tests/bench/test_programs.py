"""Every program answers, bare and under what is put into it; the control line tells the truth."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from aftertrace.cli.bench import records
from aftertrace.cli.bench.catalog import BARE, OURS, PROGRAMS, Tool, tools
from aftertrace.cli.bench.servers import Bench, BenchFailed, Server, cpu_ns

BY_NAME = {tool.name: tool for tool in tools()}
PROGRAM = {program.name: program for program in PROGRAMS}
STARTED = [(name, BARE) for name in PROGRAM] + [
    ("fastapi-pricing", "logging"),
    ("fastapi-pricing", "breakpoint"),
    ("flask-orm", "breakpoint"),
    ("fastapi-pricing", OURS),
]


@pytest.fixture(scope="module")
def servers(bench: Bench) -> Iterator[dict[tuple[str, str], Server]]:
    back = bench.start(PROGRAM["fastapi-hello"], BY_NAME[BARE], "")
    with ThreadPoolExecutor(3) as starters:
        address = f"http://127.0.0.1:{back.port}"
        started = starters.map(lambda one: bench.start(PROGRAM[one[0]], BY_NAME[one[1]], address), STARTED)
        made = dict(zip(STARTED, started, strict=True))
    yield made
    bench.stop([back, *made.values()])


def get(server: Server) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=30) as answer:
        body: bytes = answer.read()
    return body


@pytest.mark.parametrize(("name", "content"), [
    ("fastapi-hello", b'{"message":"hello world"}'),
    ("fastapi-pricing", b'"delivery":"2026-'),
    ("flask-orm", b"<li>Book "),
    ("django-orm", b"<li>Book "),
    ("asyncio-call", b'{"greeting":"Hello '),
    ("cpu-bound", b'{"fibonacci":610,"collatz":125}'),
])  # fmt: skip
def test_each_program_answers(servers: dict[tuple[str, str], Server], name: str, content: bytes) -> None:
    assert content in get(servers[name, BARE])


@pytest.mark.parametrize("one", STARTED, ids=" ".join)
def test_requests_and_cpu_are_counted(servers: dict[tuple[str, str], Server], one: tuple[str, str]) -> None:
    server = servers[one]
    before = server.ask()
    for _ in range(3):
        get(server)
    after = server.ask()
    assert after.requests - before.requests == 3
    assert before.cpu < after.cpu <= cpu_ns(server.process.pid)


def test_the_log_has_a_line_per_call_with_its_arguments(servers: dict[tuple[str, str], Server], bench: Bench) -> None:
    server = servers["fastapi-pricing", "logging"]
    before = server.ask().bytes
    get(server)
    assert server.ask().bytes > before + 1000
    lines = (bench.directory / "debug.log").read_text().splitlines()
    assert any(re.search("read_line text='[A-Z]-000; [a-z]+; ", line) for line in lines)
    assert any(" DEBUG bench_programs.pricing order customer='A-17'" in line for line in lines)


def test_levels_are_switched_and_what_they_leave_is_counted(
    servers: dict[tuple[str, str], Server], bench: Bench
) -> None:
    server = servers["fastapi-pricing", OURS]
    bench.loaded(server)
    server.rest()
    left = {}
    for level in ("spans", "calls", "lines"):
        server.ask(f"level {level}")
        left[level] = records.of_requests(server)
    assert "Start" not in left["spans"].kinds
    assert left["spans"].kinds["SpanStart"] == pytest.approx(1, abs=0.3)
    assert left["calls"].kinds["Start"] > 200  # 60 lines are read, priced and written
    assert "Line" not in left["calls"].kinds
    assert left["lines"].kinds["Line"] > 500
    assert left["calls"].functions["price"][0] > 60
    assert not any("serve" in name or "Control" in name for name in left["lines"].functions)


def test_a_server_that_does_not_start_says_why(bench: Bench) -> None:
    broken = Tool("broken", "", environment=lambda _: {"BENCH_TOOL": "sentry", "SENTRY_DSN": "no address"})
    with pytest.raises(Exception, match="broken") as caught:
        bench.start(PROGRAM["fastapi-hello"], broken, "")
    assert "sentry_sdk" in str(caught.value)


def test_a_bare_process_has_no_ring(servers: dict[tuple[str, str], Server]) -> None:
    with pytest.raises(BenchFailed, match="no ring"):
        records.of_requests(servers["fastapi-hello", BARE])
