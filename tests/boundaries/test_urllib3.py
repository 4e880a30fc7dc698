"""urllib3 and requests over loopback: a CLIENT span for each request on the wire, the context on the wire only."""

from __future__ import annotations

import textwrap
from typing import Any

from .conftest import CLIENT, Runner

# A real server; what it was sent stands in `got`.
SERVE = """
import http.server, json, socketserver, threading, requests, urllib3
got = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        got.append((self.path, [(k.lower(), v) for k, v in self.headers.items()]))
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16): self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0].rpartition("/")[2]
        if path == "drop":
            self.close_connection = True
            return
        tries = len([one for one, _ in got if one == self.path])
        status = {"redirect": 302, "see": 303, "missing": 404, "broken": 500, "login": 401}.get(path, 200)
        if path == "flaky" and tries < 3: status = 503
        if path == "login" and self.headers.get("authorization"): status = 200
        self.send_response(status)
        if status in (302, 303): self.send_header("location", "/final")
        if status == 401: self.send_header("www-authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')
        if path == "short":
            self.send_header("content-length", "9"); self.end_headers(); self.wfile.write(b"sho")
            self.close_connection = True
            return
        self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_POST = do_BREW = do_GET
    def log_message(self, *args): pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
    def handle_error(self, *args): pass  # what a broken request does to it is not the point
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_address[1]}"
"""


def serve(runner: Runner, program: str, **env: str) -> Any:
    return runner.good(SERVE + textwrap.dedent(program), **env)


def told(ran: Any, base: str) -> list[tuple[Any, ...]]:
    return [
        (
            span.name,
            span.attributes["url.full"].removeprefix(base),
            span.attributes.get("http.response.status_code"),
            span.attributes.get("http.request.resend_count"),
            span.attributes.get("error.type"),
        )
        for span in ran.recorded.of(CLIENT)
    ]


def test_each_request_on_the_wire_is_a_span(runner: Runner):
    ran = serve(
        runner,
        """
        from aftertrace import _native
        outer = _native.Span("outer"); token = _native.attach(outer)
        requests.get(base + "/plain?secret=1")
        requests.post(base + "/broken", data=b"x")
        requests.get(base + "/redirect")
        with requests.Session() as session:
            session.get(base + "/login", auth=requests.auth.HTTPDigestAuth("u", "p"))
            response = session.get(base + "/stream", stream=True)
            assert response.raw.read() == b"ok"
            for path in "/drop", "/short":
                try: session.get(base + path)
                except requests.RequestException: pass
            session.post(base + "/chunks", data=(part for part in [b"a", b"b"]))
        manager = urllib3.PoolManager(retries=urllib3.Retry(3, status_forcelist=[503], backoff_factor=0))
        manager.request("GET", base + "/flaky")
        manager.request("POST", base + "/see", body=b"x")
        urllib3.HTTPConnectionPool("127.0.0.1", server.server_address[1]).request("GET", "/pool?secret=1")
        manager.request("BREW", base + "/tea")
        response = manager.request("GET", base + "/late", preload_content=False)
        response.read(); response.release_conn()
        try: urllib3.PoolManager().request("GET", "http://127.0.0.1:9/", retries=urllib3.Retry(1, backoff_factor=0))
        except urllib3.exceptions.MaxRetryError: pass
        requests.get("http://nowhere.test/through?a=1", proxies={"http": base})
        assert _native.current() is outer
        _native.detach(token); outer.end()
        print(json.dumps([base, [[path, dict(headers)] for path, headers in got]]))
        """,
    )
    base, got = ran.answer
    spans = ran.recorded.of(CLIENT)
    assert told(ran, base) == [
        ("GET", "/plain", 200, None, None),
        ("POST", "/broken", 500, None, "500"),
        ("GET", "/redirect", 302, None, None),
        ("GET", "/final", 200, 1, None),
        ("GET", "/login", 401, None, "401"),
        ("GET", "/login", 200, 1, None),
        ("GET", "/stream", 200, None, None),
        ("GET", "/drop", None, None, "RemoteDisconnected"),
        ("GET", "/short", 200, None, "ChunkedEncodingError"),
        ("POST", "/chunks", 200, None, None),
        ("GET", "/flaky", 503, None, "503"),
        ("GET", "/flaky", 503, 1, "503"),
        ("GET", "/flaky", 200, 2, None),
        ("POST", "/see", 303, None, None),
        ("GET", "/final", 200, 1, None),
        ("GET", "/pool", 200, None, None),
        ("HTTP", "/tea", 200, None, None),
        ("GET", "/late", 200, None, None),
        ("GET", "http://127.0.0.1:9/", None, None, "NewConnectionError"),
        ("GET", "http://127.0.0.1:9/", None, 1, "NewConnectionError"),
        ("GET", "http://nowhere.test/through", 200, None, None),
    ]
    assert all(span.ended for span in spans)
    outer = ran.recorded.named("outer")[0]
    assert {span.parent for span in spans} == {outer.id}
    assert [s.status for s in spans] == [2 if s.attributes.get("error.type") else 0 for s in spans]
    sent = [span for span in spans if span.attributes["server.port"] != 9]
    assert [headers["traceparent"] for _, headers in got] == [f"00-{s.trace}-{s.id}-03" for s in sent]
    assert spans[0].attributes == {
        "http.request.method": "GET",
        "url.full": f"{base}/plain",
        "server.address": "127.0.0.1",
        "server.port": int(base.rpartition(":")[2]),
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
    }
    assert (spans[-1].attributes["server.address"], spans[-1].attributes["server.port"]) == ("nowhere.test", 80)
    tea = next(span for span in spans if span.name == "HTTP").attributes
    assert (tea["http.request.method"], tea["http.request.method_original"]) == ("_OTHER", "BREW")


def test_calls_within_calls_are_their_own(runner: Runner):
    ran = serve(
        runner,
        """
        from aftertrace import _native
        class Token(requests.auth.AuthBase):
            def __call__(self, request):
                request.register_hook("response", lambda response, **_: requests.get(base + "/hook") and None)
                requests.get(base + "/token")
                return request
        def body():
            requests.get(base + "/within")
            yield b"x"
        requests.get(base + "/redirect", auth=Token())
        requests.post(base + "/body", data=body())
        print(json.dumps(base))
        """,
    )
    spans = told(ran, ran.answer)
    assert [(path, resent) for _, path, _, resent, _ in spans] == [
        ("/token", None),
        ("/redirect", None),
        ("/hook", None),
        ("/final", 1),
        ("/hook", None),
        ("/body", None),
        ("/within", None),
    ]
    body, within = ran.recorded.of(CLIENT)[-2:]
    assert within.parent == body.id


def test_the_programs_request_is_as_it_was(runner: Runner):
    runner.same(
        SERVE
        + textwrap.dedent("""
        seen = []
        def show(headers): return sorted((str(k).lower(), v) for k, v in headers.items())
        def hook(response, **_): seen.append(show(response.request.headers))
        own = {"TraceParent": "00-" + "1" * 32 + "-" + "2" * 16 + "-00", "Baggage": "mine=1"}
        with requests.Session() as session:
            session.headers["x"] = "y"
            response = session.get(base + "/redirect", hooks={"response": hook})
            seen += [show(response.request.headers), show(session.headers)]
            seen.append(show(session.get(base + "/own", headers=own).request.headers))
        headers, several = {"A": "b"}, urllib3.HTTPHeaderDict({"Set": "1"})
        several.add("Set", "2")
        manager = urllib3.PoolManager(headers={"M": "n"})
        for given in headers, several, None, {}:
            response = manager.request("GET", base + "/own", headers=given)
            seen.append([None if given is None else list(given.items()), list(manager.headers.items())])
        manager.request("GET", base + "/own", headers=own)
        print(json.dumps(seen).replace(base, ""))
        for path, headers in got:
            ours = [pair for pair in headers if pair[0] not in ("traceparent", "host")]
            theirs = [pair for pair in headers if pair[0] == "traceparent" and "1111" in pair[1]]
            print(path, ours, theirs)
        """)
    )


def test_errors_and_signatures_are_the_same(runner: Runner):
    runner.same(
        SERVE
        + textwrap.dedent("""
        import inspect, traceback, re
        def attempt(act):
            try: print(act())
            except Exception: print(re.sub("0x[0-9a-f]+|PORT", "", traceback.format_exc().replace(base[17:], "PORT")))
        session, manager = requests.Session(), urllib3.PoolManager(retries=False)
        for path in "/drop", "/short", "/missing":
            attempt(lambda: session.get(base + path))
            attempt(lambda: manager.request("GET", base + path).status)
        attempt(lambda: session.get("gopher://x"))
        attempt(lambda: session.get("http://127.0.0.1:9/"))
        attempt(lambda: session.send("no request"))
        attempt(lambda: session.send())
        attempt(lambda: session.get(base + "/redirect", headers={"bad": 7}))
        attempt(lambda: manager.request("GET", base + "/x", headers={"bad\\n": "7"}))
        attempt(lambda: manager.urlopen("GET"))
        session.max_redirects = 0
        attempt(lambda: session.get(base + "/redirect"))
        def failing(): yield b"a"; raise KeyError("in the body")
        attempt(lambda: session.post(base + "/x", data=failing()))
        for f in requests.Session.send, urllib3.PoolManager.urlopen, urllib3.HTTPConnectionPool.urlopen:
            print(inspect.signature(f), f.__qualname__, f.__module__)
        """)
    )


def test_baggage_state_and_other_propagators(runner: Runner):
    program = """
        from aftertrace import _native
        from aftertrace.record import propagation
        token = _native.attach(_native.Span("in", 2, (5, 6, 0, "a=1")))
        entered = propagation.enter_baggage("k=v")
        requests.get(base + "/x")
        print(json.dumps(dict(got[0][1])))
        """
    sent = serve(runner, program).answer
    assert (sent["tracestate"], sent["baggage"], sent["traceparent"][:36]) == ("a=1", "k=v", f"00-{5:032x}-")
    sent = serve(runner, program, OTEL_PROPAGATORS="b3").answer
    assert not sent.keys() & {"traceparent", "tracestate", "baggage"}


def test_a_failure_of_ours_is_counted_and_not_felt(runner: Runner):
    ran = runner.run(
        SERVE
        + textwrap.dedent("""
        from aftertrace.record import boundaries, propagation
        def broken(*args): raise AttributeError("ours")
        propagation.write = broken
        assert requests.get(base + "/x").status_code == 200
        propagation.parent = broken
        assert urllib3.PoolManager().request("GET", base + "/x").status == 200
        print([detail for _, _, detail in boundaries.report() if detail], len(got))
        """)
    )
    assert (ran.err, ran.out) == ("", "['2 internal failures, the last AttributeError'] 2\n")
    assert [span.ended for span in ran.recorded.of(CLIENT)] == [True]


def test_nothing_is_held(runner: Runner):
    serve(
        runner,
        """
        import gc, weakref
        from aftertrace.record.boundaries import urllib3 as boundary
        class Thing: pass
        things = []
        def call(path, **more):
            session = requests.Session(); session.thing = Thing(); things.append(weakref.ref(session.thing))
            try: session.get(base + path, **more)
            except requests.RequestException: pass
        for path in "/x", "/redirect", "/drop", "/short": call(path)
        call("/x", stream=True)
        gc.collect()
        assert [thing() for thing in things] == [None] * 5
        assert boundary._current.get() is None
        """,
    )
