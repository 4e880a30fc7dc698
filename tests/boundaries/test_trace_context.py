"""W3C Trace Context, levels 1 and 2, rule by rule: what services under `aftertrace run` send on of what they were sent.

https://www.w3.org/TR/trace-context-2/; each case names the rule that it holds. Two services: ASGI (uvicorn, httpx) and
WSGI (waitress, requests). Headers that no HTTP server lets through are cases of test_propagation.py.
"""

from __future__ import annotations

import re
import socket
import string
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from .conftest import Runner
from .test_uvicorn import free_port

ASGI = """
import httpx, uvicorn
client = httpx.AsyncClient(timeout=60)
async def app(scope, receive, send):
    if scope["type"] != "http": return
    times = int(scope["query_string"] or b"1")
    for _ in range(times): await client.post("DOWNSTREAM")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=PORT, log_level="warning", lifespan="off")
"""
WSGI = """
import requests, waitress
def app(environ, start_response):
    for _ in range(int(environ["QUERY_STRING"] or "1")): requests.post("DOWNSTREAM", timeout=60)
    start_response("200 OK", [])
    return [b""]
waitress.serve(app, listen="127.0.0.1:PORT", threads=2)
"""
TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
GOOD = f"00-{TRACE}-{PARENT}-01"
SAMPLED, RANDOM = 1, 2
WAIT_S = 60


class Downstream:
    """A real HTTP server; ``sent`` holds the headers of each call, names as they came."""

    def __init__(self) -> None:
        self.sent: list[list[tuple[str, str]]] = []
        sent = self.sent

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent.append(list(self.headers.items()))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Outgoing:
    """The context of one outgoing call; ``state`` is None where there was none."""

    trace: str
    parent: str
    flags: int
    state: str | None


class Service:
    """One under ``aftertrace run``."""

    def __init__(self, port: int, downstream: Downstream) -> None:
        self._port, self._downstream = port, downstream

    def call(self, *headers: tuple[str, str], times: int = 1) -> list[Outgoing]:
        """A request with these headers, written as they are; the contexts of the calls that the service made of it."""
        self._downstream.sent.clear()
        lines = [f"GET /?{times} HTTP/1.1", "Host: x", "Connection: close", *(f"{k}: {v}" for k, v in headers), "", ""]
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT_S) as sock:
            sock.sendall("\r\n".join(lines).encode("latin-1"))
            answer = b""
            while part := sock.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert len(self._downstream.sent) == times
        return [outgoing(sent) for sent in self._downstream.sent]

    def one(self, *headers: tuple[str, str]) -> Outgoing:
        return self.call(*headers)[0]


def outgoing(sent: list[tuple[str, str]]) -> Outgoing:
    """What is held of every call: one traceparent of version 00, lower-case names, no empty tracestate, known flags."""
    parents = [(k, v) for k, v in sent if k.lower() == "traceparent"]
    states = [(k, v) for k, v in sent if k.lower() == "tracestate"]
    assert [k for k, _ in parents] == ["traceparent"]  # SHOULD be lower-case
    assert [k for k, _ in states] in ([], ["tracestate"])
    match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])", parents[0][1])
    assert match is not None, parents
    assert int(match[1], 16)
    assert int(match[2], 16)
    assert all(value for _, value in states)  # SHOULD avoid sending empty ones
    return Outgoing(match[1], match[2], int(match[3]), states[0][1] if states else None)


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    import sys

    home = tmp_path_factory.mktemp(request.param)
    runner, downstream, port = Runner(home, [sys.executable, "-P"]), Downstream(), free_port()
    agent = runner.agent()
    program = (ASGI if request.param == "asgi" else WSGI).replace("DOWNSTREAM", downstream.address)
    words = [runner.python, str(runner.script(program.replace("PORT", str(port))))]
    log = Path(home / "log")
    with log.open("w") as out:
        process = subprocess.Popen(
            runner.words(agent, words), cwd=home, env=runner.environment(), stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + WAIT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield Service(port, downstream)
    finally:
        process.terminate()
        process.wait(WAIT_S)
        agent.close()
        downstream.close()


def states(*pairs: str) -> list[tuple[str, str]]:
    return [("tracestate", pair) for pair in pairs]


# -- traceparent: what continues the trace

CONTINUES = [
    ("a caller's trace goes on", GOOD, SAMPLED),
    ("the sampled flag is respected: it goes on as it came", f"00-{TRACE}-{PARENT}-00", 0),
    ("random-trace-id set MUST be set in all outgoing", f"00-{TRACE}-{PARENT}-02", RANDOM),
    ("random-trace-id set MUST be set in all outgoing, sampled", f"00-{TRACE}-{PARENT}-03", SAMPLED | RANDOM),
    ("random-trace-id unset MUST be unset in any outgoing", GOOD, SAMPLED),
    ("other flags MUST be set to zero", f"00-{TRACE}-{PARENT}-ff", SAMPLED | RANDOM),
    ("other flags MUST be set to zero, not sampled", f"00-{TRACE}-{PARENT}-fc", 0),
    ("a higher version SHOULD be parsed", f"cc-{TRACE}-{PARENT}-01", SAMPLED),
    ("of a higher version what follows a dash is not looked at", f"cc-{TRACE}-{PARENT}-01-what-will-be", SAMPLED),
    ("the same with a dash alone", f"01-{TRACE}-{PARENT}-00-", 0),
    ("the header's whitespace is none of it", f" \t{GOOD} \t", SAMPLED),
]


@pytest.mark.parametrize(("rule", "header", "flags"), CONTINUES, ids=[rule for rule, _, _ in CONTINUES])
def test_traceparent_that_goes_on(service: Service, rule: str, header: str, flags: int) -> None:
    out = service.one(("traceparent", header), *states("a=1"))
    assert (out.trace, out.flags, out.state) == (TRACE, flags, "a=1")
    assert out.parent != PARENT  # parent-id MUST be set to the id of the current operation


@pytest.mark.parametrize("name", ["traceparent", "Traceparent", "TraceParent", "TRACEPARENT"])
def test_names_are_taken_in_any_case(service: Service, name: str) -> None:
    out = service.one(
        (name, GOOD), (name.replace("parent", "state").replace("Parent", "State").replace("PARENT", "STATE"), "a=1")
    )
    assert (out.trace, out.state) == (TRACE, "a=1")


# -- traceparent: what MUST be ignored, tracestate with it

IGNORED = [
    ("version ff is invalid", f"ff-{TRACE}-{PARENT}-01"),
    ("version 00 ends after the flags", f"{GOOD}-what-will-be"),
    ("version 00 ends after the flags: no dot", f"{GOOD}."),
    ("of a higher version the flags MUST end or be followed by a dash", f"cc-{TRACE}-{PARENT}-01.what-will-be"),
    ("of a higher version the flags MUST be two characters", f"cc-{TRACE}-{PARENT}-010"),
    ("a version is hexadecimal", f".0-{TRACE}-{PARENT}-01"),
    ("a version is lower-case", f"CC-{TRACE}-{PARENT}-01"),
    ("a version has two digits, not three", f"000-{TRACE}-{PARENT}-01"),
    ("a version has two digits, not one", f"0-{TRACE}-{PARENT}-01"),
    ("a trace-id of zeros", f"00-{'0' * 32}-{PARENT}-01"),
    ("a trace-id with another character", f"00-.{TRACE[1:]}-{PARENT}-01"),
    ("a trace-id in upper case", f"00-{TRACE[:-1]}A-{PARENT}-01"),
    ("a trace-id that is too long", f"00-{TRACE}0-{PARENT}-01"),
    ("a trace-id that is too short", f"00-{TRACE[1:]}-{PARENT}-01"),
    ("of a higher version: a trace-id of zeros", f"cc-{'0' * 32}-{PARENT}-01"),
    ("of a higher version: a trace-id that no dash follows", f"cc-{TRACE}.{PARENT}-01"),
    ("a parent-id of zeros", f"00-{TRACE}-{'0' * 16}-01"),
    ("a parent-id with another character", f"00-{TRACE}-.{PARENT[1:]}-01"),
    ("a parent-id in upper case", f"00-{TRACE}-{PARENT[:-1]}A-01"),
    ("a parent-id that is too long", f"00-{TRACE}-{PARENT}0-01"),
    ("a parent-id that is too short", f"00-{TRACE}-{PARENT[1:]}-01"),
    ("of a higher version: a parent-id that no dash follows", f"cc-{TRACE}-{PARENT}.01"),
    ("flags with another character", f"00-{TRACE}-{PARENT}-.1"),
    ("flags in upper case", f"00-{TRACE}-{PARENT}-0A"),
    ("flags that are too long", f"00-{TRACE}-{PARENT}-001"),
    ("flags that are too short", f"00-{TRACE}-{PARENT}-1"),
    ("no flags", f"00-{TRACE}-{PARENT}"),
    ("other dashes", f"00_{TRACE}_{PARENT}_01"),
    ("two in one", f"{GOOD},{GOOD}"),
    ("empty", ""),
]


@pytest.mark.parametrize(("rule", "header"), IGNORED, ids=[rule for rule, _ in IGNORED])
def test_traceparent_that_is_ignored(service: Service, rule: str, header: str) -> None:
    """A new trace begins; tracestate MUST NOT be parsed where traceparent failed."""
    restarted(service.one(("traceparent", header), *states("a=1")))


def restarted(out: Outgoing) -> None:
    assert out.trace != TRACE
    assert out.parent != PARENT
    assert out.state is None
    assert out.flags == SAMPLED | RANDOM  # the new id's digits are drawn at random: the flag SHOULD say so


@pytest.mark.parametrize(
    "headers",
    [
        [],
        states("a=1"),  # without a traceparent it is invalid and MUST be discarded
        [("trace-parent", GOOD), *states("a=1")],
        [("trace.parent", GOOD), ("trace.state", "a=1")],
        [("traceparent", GOOD), ("traceparent", f"00-{TRACE[::-1]}-{PARENT}-01"), *states("a=1")],
    ],
    ids=["nothing", "tracestate alone", "another name", "other names", "two"],
)
def test_without_one_traceparent_a_trace_begins(service: Service, headers: list[tuple[str, str]]) -> None:
    restarted(service.one(*headers))


def test_ids_are_unique_and_of_their_whole_length(service: Service) -> None:
    """trace-id SHOULD be globally unique, its rightmost 7 bytes random; parent-id unique within the trace."""
    found = [service.one() for _ in range(24)]
    assert len({out.trace for out in found}) == len({out.parent for out in found}) == 24
    for at in range(16):  # each byte takes several values
        assert len({out.trace[2 * at : 2 * at + 2] for out in found}) > 8
    calls = service.call(("traceparent", GOOD), *states("a=1"), times=3)
    assert {out.trace for out in calls} == {TRACE}
    assert len({out.parent for out in calls}) == 3
    assert {out.state for out in calls} == {"a=1"}


# -- tracestate

KEY = string.ascii_lowercase + string.digits + "_-*/"
VALUE = "".join(map(chr, [*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)]))
FULL = [f"bar{n:02}={n:02}" for n in range(1, 33)]
LONG = ",".join(f"k{n:02}={'v' * 250}" for n in range(30))

PASSED_ON = [
    ("sent on, in its order", ["foo=1,bar=2"], "foo=1,bar=2"),
    (
        "several fields are one, in their order",
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
        "foo=1,bar=2,rojo=1,congo=2,baz=3",
    ),
    ("empty members are allowed", ["foo=1", "", "bar=2"], "foo=1,bar=2"),
    ("whitespace around members is allowed", ["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    ("all characters of keys and values", [f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
    ("leading spaces of a value MUST be preserved", ["foo=  1,bar=2"], "foo=  1,bar=2"),
    ("a key may begin with a digit", ["0foo=1"], "0foo=1"),
    ("an @ stands for nothing", ["foo@bar@baz=1"], "foo@bar@baz=1"),
    ("a key of 256 characters", [f"{'z' * 256}=1"], f"{'z' * 256}=1"),
    ("a key of 241 characters and a vendor of 14", [f"{'t' * 241}@{'v' * 14}=1"], f"{'t' * 241}@{'v' * 14}=1"),
    ("a value of 256 characters", [f"foo={'v' * 256}"], f"foo={'v' * 256}"),
    ("32 members", [",".join(FULL)], ",".join(FULL)),
    ("at least 512 characters SHOULD be propagated: 7,600 are", [LONG], LONG),
    ("a key that comes twice is no reason to lose others", ["foo=1,bar=2", "foo=3"], "foo=1,bar=2,foo=3"),
]


@pytest.mark.parametrize(("rule", "given", "passed"), PASSED_ON, ids=[rule for rule, _, _ in PASSED_ON])
def test_tracestate_that_is_passed_on(service: Service, rule: str, given: list[str], passed: str) -> None:
    out = service.one(("traceparent", GOOD), *states(*given))
    assert (out.trace, out.flags) == (TRACE, SAMPLED)
    assert members(out.state) == members(passed)


def members(state: str | None) -> list[str] | None:
    """Optional whitespace and empty members may be left out or not."""
    return None if state is None else [text for part in state.split(",") if (text := part.strip(" \t"))]


DROPPED = [
    ("empty", [""]),
    ("whitespace", ["  "]),
    ("commas", [",,"]),
    ("a space before =", ["foo =1"]),
    ("upper case", ["FOO=1"]),
    ("another character in a key", ["foo.bar=1"]),
    ("a key that begins with an @", ["@foo=1,bar=2"]),
    ("a key that begins with another character", ["-foo=1,bar=2"]),
    ("no key", ["=1"]),
    ("no =", ["foo"]),
    ("two =", ["foo=bar=baz"]),
    ("no value", ["foo=,bar=3"]),
    ("a key of 257 characters", [f"{'z' * 257}=1"]),
    ("a value of 257 characters", [f"foo={'v' * 257}"]),
    ("33 members", [",".join([*FULL, "more=1"])]),
    ("33 members in two fields", [",".join(FULL), "more=1"]),
    ("a character beyond ASCII", ["foo=\xe9"]),
]


@pytest.mark.parametrize(("rule", "given"), DROPPED, ids=[rule for rule, _ in DROPPED])
def test_tracestate_that_is_dropped(service: Service, rule: str, given: list[str]) -> None:
    """Failure to parse tracestate MUST NOT affect the parsing of traceparent."""
    out = service.one(("traceparent", GOOD), *states(*given))
    assert (out.trace, out.flags, out.state) == (TRACE, SAMPLED, None)


@pytest.mark.parametrize("name", ["trace-state", "trace.state", "tracestates"])
def test_other_names_are_no_tracestate(service: Service, name: str) -> None:
    assert service.one(("traceparent", GOOD), (name, "a=1")).state is None


def test_a_higher_versions_tracestate_is_passed_on(service: Service) -> None:
    out = service.one(("traceparent", f"cc-{TRACE}-{PARENT}-01-more"), *states("foo=1,bar=2"))
    assert (out.trace, out.state) == (TRACE, "foo=1,bar=2")
