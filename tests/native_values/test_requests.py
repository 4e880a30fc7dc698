"""Requests of ASGI and WSGI told natively: no scope, environ or header raises, leaks or runs the program's code."""

from __future__ import annotations

import contextlib
import gc
import http
import random
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from native_decoder import records_of, ring_of
from opentelemetry.context.context import Context

from aftertrace import _native
from aftertrace._native import AsgiRequest, ContextReader, Span, WsgiRequest, attach, current, detach
from aftertrace.record import propagation
from aftertrace.record.boundaries.semantics import host

GOOD = f"00-{5:032x}-{6:016x}-01"
NO_ROUTE: Callable[[Any], str] = lambda _: ""  # noqa: E731  # it is asked below mounts only


@pytest.fixture(scope="module", autouse=True)
def _recorder() -> Iterator[None]:
    """So that what is told is written, too."""
    _native.start(_native.LEVEL_SPANS, ring_bytes=1 << 20, defs_bytes=1 << 16, roots=[], libraries=[])
    yield
    _native.stop()


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    token = attach(None)
    yield
    detach(token)


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the program's code ran")


class Text(str):
    __slots__ = ()
    __eq__ = __hash__ = __getitem__ = __len__ = __iter__ = __bool__ = rpartition = strip = never


class Raw(bytes):
    __eq__ = __hash__ = __getitem__ = __len__ = __iter__ = __bool__ = decode = never


class Pair(tuple[Any, ...]):
    __slots__ = ()
    __getitem__ = __len__ = __iter__ = __bool__ = never


class Many(list[Any]):
    __getitem__ = __len__ = __iter__ = __bool__ = never


class Number(int):
    __index__ = __int__ = __bool__ = __eq__ = never
    __hash__ = never


class Odd:
    __getattribute__ = __len__ = __bool__ = __iter__ = __eq__ = __hash__ = never


def ask(scope: dict[str, Any], *messages: Any) -> AsgiRequest:
    request = AsgiRequest(scope, lambda message: message)
    for message in messages:
        assert request(message) is message
    request.end(None, NO_ROUTE)
    return request


def asked(environ: dict[str, Any], status: Any = "200 OK") -> WsgiRequest:
    request = WsgiRequest(environ)
    inside = request.enter()
    assert request.starting(lambda *args, **kwargs: (args, kwargs))(status, []) == ((status, []), {})
    request.leave(inside)
    request.end()
    return request


def plain_scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "http_version": "1.1",
        "path": "/a",
        "headers": [(b"host", b"h:1"), (b"user-agent", b"u"), (b"traceparent", GOOD.encode())],
        "server": ("s", 80),
        "client": ("c", 1),
    }


def plain_environ() -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/r",
        "PATH_INFO": "/a",
        "SERVER_NAME": "s",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "c",
        "HTTP_HOST": "h:1",
        "HTTP_USER_AGENT": "u",
        "HTTP_TRACEPARENT": GOOD,
        "wsgi.url_scheme": "http",
        "wsgi.input": object(),
    }


VALUES: list[Callable[[], Any]] = [
    lambda: None,
    lambda: 7,
    lambda: -(10**40),
    lambda: Number(5),
    lambda: "",
    lambda: "x" * 100_000,
    lambda: "\udc80\u20ac\0",
    lambda: Text("GET"),
    lambda: Text("h:80"),
    lambda: b"",
    lambda: b"\xff\0" * 5000,
    lambda: Raw(b"host"),
    list,
    lambda: Many([Pair((Raw(b"host"), Raw(b"[::1]:80")))]),
    lambda: [()],
    lambda: [(b"host",), (b"host", "text"), [b"traceparent", b""], b"host", None, 7, (7, 8)],
    lambda: [(b"traceparent", GOOD.encode())] * 3,
    lambda: ((b"host", b"\xe9]:"), (b"baggage", b"k=v"), (b"tracestate", b"\xff=1")),
    lambda: iter([(b"host", b"h")]),
    lambda: {b"host": b"h"},
    lambda: ("x", None),
    lambda: Pair(("x", Number(1))),
    lambda: [Odd(), Odd()],
    Odd,
    lambda: ("x", "80"),
    lambda: bytearray(b"host"),
]


@pytest.mark.parametrize("make", [plain_scope, plain_environ])
def test_odd_values_are_left_out_and_leak_nothing(make: Callable[[], dict[str, Any]]) -> None:
    run: Callable[[dict[str, Any]], Any] = ask if make is plain_scope else asked
    for key in make():
        for value in VALUES:
            found = value()
            there = make()
            there[key] = found
            before = sys.getrefcount(found)
            run(there)
            assert sys.getrefcount(found) == before, (key, type(found))
            missing = make()
            del missing[key]
            run(missing)
    assert current() is None
    assert _native.asgi_under_way() == 0
    assert _native.status()["records"] > 1000


class Colliding:
    """A key that is found where another is looked for."""

    def __init__(self, key: str) -> None:
        self.hash, self.armed = hash(key), False

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return never() if self.armed else self is other


def test_keys_of_the_programs_are_not_compared() -> None:
    kinds: tuple[tuple[Any, Any], ...] = ((plain_scope, ask), (plain_environ, asked))
    for make, run in kinds:
        for key in make():
            odd = Colliding(key)
            there: dict[Any, Any] = {odd: 1, **make()}
            odd.armed = True
            run(there)


def test_any_mixture() -> None:
    chance = random.Random(7)
    for _ in range(3000):
        for make, run in ((plain_scope, ask), (plain_environ, asked)):
            there = make()
            for key in chance.sample(list(there), 4):
                there[key] = chance.choice(VALUES)()
            run(there)
    for status in (None, 7, "", "2", "20x", "\u0662\u0660\u0660", Text("200 OK"), b"200", Odd(), "999999"):
        asked(plain_environ(), status)
    for message in (None, 7, {}, {"type": Odd()}, {"type": "http.response.start"}, Odd()):
        ask(plain_scope(), message)
    for status in (None, "200", Number(503), 10**40, True, http.HTTPStatus.ACCEPTED):
        ask(plain_scope(), {"type": "http.response.start", "status": status})


@pytest.mark.parametrize(("make", "run"), [(plain_scope, ask), (plain_environ, asked)])
def test_ten_thousand_requests_hold_nothing(make: Any, run: Any) -> None:
    there = make()
    state = there["tracestate"] = object()
    if make is plain_scope:
        there["headers"] += [(b"baggage", b"k=v"), (b"tracestate", b"a=1")]
    else:
        there["HTTP_BAGGAGE"], there["HTTP_TRACESTATE"] = "k=v", "a=1"
    watched = [there, state, *there.values()]
    run(there)
    gc.collect()
    before = [sys.getrefcount(o) for o in watched]
    blocks = sys.getallocatedblocks()
    for _ in range(10_000):
        run(there)
    gc.collect()
    assert [sys.getrefcount(o) for o in watched] == before
    assert sys.getallocatedblocks() - blocks < 200


def test_what_the_program_holds_longer_lets_go_of_the_rest() -> None:
    class Scope(dict[str, Any]):
        pass

    class Server:
        pass

    scope, server = Scope(plain_scope()), Server()
    server.scope, server.send = scope, AsgiRequest(scope, server.__eq__)  # type: ignore[attr-defined]
    assert _native.asgi_under_way() == 1
    sends = server.send  # type: ignore[attr-defined]
    before = sys.getrefcount(scope)
    sends.end(None, NO_ROUTE)
    sends.end(None, NO_ROUTE)
    assert sys.getrefcount(scope) == before - 2
    del scope, server, sends
    abandoned: dict[str, Any] = {"scope": plain_scope()}
    abandoned["self"] = AsgiRequest(abandoned["scope"], abandoned.get)
    assert _native.asgi_under_way() == 1
    detach(attach(None))
    attach(None)  # the context holds no request
    del abandoned
    gc.collect()
    assert _native.asgi_under_way() == 0


def test_a_failing_propagation_leaves_nothing_current() -> None:
    def broken(*_: Any) -> Any:
        raise OSError("broken")

    scope, environ = plain_scope(), plain_environ()
    scope["headers"].append((b"baggage", b"k=v"))
    environ["HTTP_BAGGAGE"] = "k=v"
    try:
        for at in range(4):
            functions: Any = [propagation.read, propagation.sampler.root]
            functions += [propagation.parse_baggage, propagation.enter_baggage, propagation.leave_baggage]
            functions[at] = broken
            _native.set_propagation(False, *functions)
            with contextlib.suppress(OSError):
                ask(scope)
            with contextlib.suppress(OSError):
                asked(environ)
            assert current() is None
            assert _native.asgi_under_way() == 0
        _native.set_propagation(
            True,
            propagation.read,
            propagation.sampler.root,
            propagation.parse_baggage,
            propagation.enter_baggage,
            broken,
        )
        request = AsgiRequest(scope, never)
        with pytest.raises(OSError, match="broken"):
            request.end(None, NO_ROUTE)
        assert (current(), _native.asgi_under_way()) == (None, 0)
    finally:
        propagation.configure()


class Found:
    @property
    def path(self) -> Any:
        raise ZeroDivisionError


def test_a_route_that_raises_ends_the_span_first() -> None:
    scope = plain_scope()
    request = AsgiRequest(scope, never)
    span = current()
    scope["route"] = Found()
    with pytest.raises(ZeroDivisionError):
        request.end(ValueError("x"), NO_ROUTE)
    assert span is not None
    assert span.ended
    assert current() is None


PARENTS = [
    GOOD,
    f" \t{GOOD}\t ",
    GOOD.upper(),
    GOOD[:-1],
    GOOD + "0",
    GOOD + "-",
    GOOD + "-more",
    "01" + GOOD[2:],
    "01" + GOOD[2:] + "-more \n",
    "01" + GOOD[2:] + "more",
    "ff" + GOOD[2:],
    "0" + GOOD,
    f"00-{0:032x}-{6:016x}-01",
    f"00-{5:032x}-{0:016x}-01",
    f"00-{2**128 - 1:032x}-{2**64 - 1:016x}-ff",
    f"00-{5:032x}-{6:016x}-fe",
    GOOD.replace("-", "_"),
    "",
    " ",
    "\n" + GOOD,
    "cc" + GOOD[2:] + "-" + "x" * 456,
    "cc" + GOOD[2:] + "-" + "x" * 457,
    GOOD + "\xa0",
    GOOD[:5] + "\xe9" + GOOD[6:],
]


@pytest.mark.parametrize("parent", PARENTS + [GOOD[:n] + "g" + GOOD[n + 1 :] for n in range(len(GOOD))])
def test_the_callers_context_is_read_as_propagation_reads_it(parent: str) -> None:
    expected = propagation.read([parent], []) if parent else None
    scope, environ = plain_scope(), plain_environ()
    scope["headers"] = [(b"traceparent", parent.encode("latin-1"))]
    environ["HTTP_TRACEPARENT"] = parent
    request = AsgiRequest(scope, never)
    spans = [current()]
    request.end(None, NO_ROUTE)
    for span in (*spans, WsgiRequest(environ).span):
        assert span is not None
        told = (span.trace_id, span.parent_id, span.trace_flags, "") if span.parent_is_remote else None
        assert told == expected


HOSTS = ["a", "a:80", "a:", "[::1]:80", "[::1]", "::1", ":80", "", "a:8x", "[[a]]", "é:80", "a:80:", "]["]


def test_what_the_attributes_are(tmp_path: Path) -> None:
    records = records_of(
        ring_of(
            f"""
        for host in {HOSTS!r}:
            r = n.AsgiRequest({{"type": "http", "method": "M", "path": "/" + "é" * 3000,
                "headers": ((b"host", host.encode("latin-1")),), "server": ["s", 0]}}, print)
            r({{"type": "x"}})
            r.end(KeyError("k"), None)
        for host in {HOSTS!r}:
            r = n.WsgiRequest({{"HTTP_HOST": host, "SERVER_NAME": "s", "SERVER_PORT": "x",
                "PATH_INFO": "/caf\\u00c3\\u00a9"}})
            r.starting(str)("503")
            r.fail(KeyError("k")); r.fail(ValueError()); r.end(); r.end()
        """,
            tmp_path / "ring",
        )
    )
    starts = [{k: v.value for k, v in r["attrs"].items()} for r in records if r["record"] == "START"]
    told = [start["server.address"] for start in starts]
    assert told == [host(h) for h in HOSTS] + [host(h) if h else "s" for h in HOSTS]
    assert all(start["http.request.method"] == "_OTHER" and "server.port" not in start for start in starts)
    assert starts[0]["url.scheme"] == "http"
    assert starts[-1]["url.path"] == "/café"
    events = [r for r in records if r["record"] == "EVENT"]
    assert len(events) == 2 * len(HOSTS)
    ends = [{k: v.value for k, v in r["attrs"].items()} for r in records if r["record"] == "ATTR"]
    assert {end["error.type"] for end in ends} == {"KeyError"}
    assert ends[-1]["http.response.status_code"] == 503
    assert sum(r["record"] == "END" for r in records) == 2 * len(HOSTS)


# -- OpenTelemetry's current context


def test_the_reader_shows_the_span_and_keeps_contexts_apart() -> None:
    slow: list[Any] = []
    variable: ContextVar[Any] = ContextVar("x", default=Context())  # noqa: B039  # as the API has it
    read = ContextReader(variable, Context, lambda: slow.append(1) or "slow")  # type: ignore[func-returns-value]
    key = "aftertrace-test-key"
    _native.set_span_key(key)
    try:
        assert read() is variable.get()
        first, second = Span("1"), Span("2")
        one = attach(first)
        kept = read()
        assert (dict(kept), type(kept), read() is kept) == ({key: first}, Context, True)
        two = attach(second)
        assert dict(read()) == {key: second}
        assert dict(kept) == {key: first}
        variable.set(Context({"a": 1}))
        assert (read(), slow) == ("slow", [1])
        variable.set(Context({"a": 1, key: second}))
        assert read() is variable.get()
        detach(two)
        detach(one)
        assert read() == "slow"
        variable.set(Context({key: "remote"}))
        assert read() is variable.get()
        variable.set({key: "no context"})
        assert read() == "slow"
        with pytest.raises(TypeError):
            read(1)  # type: ignore[call-arg]
        _native.set_span_key(None)
        assert read() is variable.get()
    finally:
        _native.set_span_key(None)
