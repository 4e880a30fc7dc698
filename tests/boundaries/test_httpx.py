"""httpx over loopback: a CLIENT span around each call, the context on the wire and nowhere else."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from .conftest import CLIENT, Runner

# A real server; what it was sent stands in `got`.
SERVE = """
import asyncio, http.server, json, socketserver, threading, httpx
got = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        got.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/drop":
            self.close_connection = True
            return
        status = {"/redirect": 302, "/missing": 404, "/broken": 500, "/login": 401}.get(self.path, 200)
        if self.path == "/login" and "authorization" in {k.lower() for k in self.headers}:
            status = 200
        self.send_response(status)
        if status == 302: self.send_header("location", "/final")
        if status == 401: self.send_header("www-authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')
        self.send_header("content-length", "2"); self.end_headers(); self.wfile.write(b"ok")
    do_POST = do_GET
    def log_message(self, *args): pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True
server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_address[1]}"
"""


def serve(runner: Runner, program: str, **env: str) -> Any:
    return runner.good(SERVE + textwrap.dedent(program), **env)


def test_spans_and_headers_of_both_clients(runner: Runner):
    ran = serve(
        runner,
        """
        from aftertrace import _native
        with httpx.Client(base_url=base) as client:
            client.get("/plain?secret=1")
            client.post("/broken", content=b"x")
            client.get("/missing")
            with client.stream("GET", "/stream") as response: response.read()
            try: client.get("/drop")
            except httpx.RemoteProtocolError: pass
            assert client.get("/redirect", follow_redirects=True).history
            client.get("/login", auth=httpx.DigestAuth("u", "p"))
        async def main():
            async with httpx.AsyncClient(base_url=base) as client:
                outer = _native.Span("outer"); token = _native.attach(outer)
                await client.get("/async")
                await asyncio.gather(*[client.get(f"/many/{n}") for n in range(5)])
                assert _native.current() is outer
                _native.detach(token)
                task = asyncio.create_task(client.get("/cancelled")); await asyncio.sleep(0); task.cancel()
                try: await task
                except asyncio.CancelledError: pass
        asyncio.run(main())
        print(json.dumps([base, got]))
        """,
    )
    base, got = ran.answer
    spans = ran.recorded.of(CLIENT)
    assert all(span.ended for span in spans)
    parts = [
        (s.name, s.attributes["url.full"].removeprefix(base), s.status, s.attributes.get("error.type")) for s in spans
    ]
    assert parts == [
        ("GET", "/plain", 0, None),
        ("POST", "/broken", 2, "500"),
        ("GET", "/missing", 2, "404"),
        ("GET", "/stream", 0, None),
        ("GET", "/drop", 2, "RemoteProtocolError"),
        ("GET", "/redirect", 0, None),
        ("GET", "/login", 0, None),
        ("GET", "/async", 0, None),
        *[("GET", f"/many/{n}", 0, None) for n in range(5)],
        ("GET", "/cancelled", 0, None),
    ]
    assert spans[0].attributes["server.address"] == "127.0.0.1"
    assert spans[0].attributes["server.port"] == int(base.rpartition(":")[2])
    assert spans[0].attributes["http.response.status_code"] == 200
    by_path = {span.attributes["url.full"].removeprefix(base): span for span in spans}
    by_path["/final"] = by_path["/redirect"]
    for path, headers in got:
        span = by_path[path.partition("?")[0]]
        assert headers["traceparent"] == f"00-{span.trace}-{span.id}-03", path
    assert [path for path, _ in got].count("/login") == 2
    assert by_path["/async"].parent == ran.recorded.named("outer")[0].id


def test_the_programs_request_is_as_it_was(runner: Runner):
    ran = runner.same(  # and without ours there is none
        SERVE
        + textwrap.dedent("""
        def show(request): return [list(pair) for pair in request.headers.multi_items()]
        hooks = []
        def on_request(request): hooks.append(show(request))
        def on_response(response): hooks.append(show(response.request))
        class Signing(httpx.Auth):
            def auth_flow(self, request):
                request.headers["x-signed"] = ",".join(sorted(request.headers)); yield request
        event_hooks = {"request": [on_request], "response": [on_response]}
        own = [("X", "1"), ("x", "2"), ("Baggage", "mine=1")]
        with httpx.Client(event_hooks=event_hooks, headers={"a": "b"}) as client:
            request = client.build_request("GET", base + "/redirect", headers=own)
            response = client.send(request, follow_redirects=True, auth=Signing())
            shown = [show(request), show(response.request), [show(r.request) for r in response.history], hooks]
            try: client.get(base + "/drop")
            except httpx.HTTPError as error: shown.append(show(error.request))
            own = client.get(base + "/own", headers={"TraceParent": "00-" + "1" * 32 + "-" + "2" * 16 + "-00"})
            shown.append(show(own.request))
        print(json.dumps(shown).replace(base.rpartition(":")[2], "PORT"))
        sent = [headers.get("traceparent") for path, headers in got if path == "/own"]
        print(sent, [headers["baggage"] for path, headers in got if path in ("/redirect", "/final")])
        """)
    )
    shown = json.loads(ran.out.splitlines()[0])
    assert [["traceparent", f"00-{'1' * 32}-{'2' * 16}-00"]] == [pair for pair in shown[-1] if pair[0] == "traceparent"]


def test_baggage_and_state_go_out(runner: Runner):
    ran = serve(
        runner,
        """
        from aftertrace import _native
        from aftertrace.record import propagation
        remote = (5, 6, 0, "a=1")
        token = _native.attach(_native.Span("in", 2, remote))
        entered = propagation.enter_baggage("k=v")
        httpx.get(base + "/x")
        propagation.leave_baggage(entered)
        httpx.get(base + "/y")
        print(json.dumps(got))
        """,
    )
    (_, first), (_, second) = ran.answer
    assert (first["tracestate"], first["baggage"]) == ("a=1", "k=v")
    assert first["traceparent"].endswith("-00")
    assert first["traceparent"].startswith(f"00-{5:032x}-")
    assert "baggage" not in second


def test_other_propagators_write_nothing(runner: Runner):
    program = "httpx.get(base + '/x'); print(json.dumps(got))"
    for names, wanted in (("b3", False), ("none", False), ("baggage", False), ("tracecontext, baggage", True)):
        ran = serve(runner, program, OTEL_PROPAGATORS=names)
        assert ("traceparent" in ran.answer[0][1]) is wanted, names
    ran = serve(runner, program, OTEL_TRACES_SAMPLER="always_off")
    assert ran.answer[0][1]["traceparent"].endswith("-02")


def test_errors_transports_and_signatures_are_the_same(runner: Runner):
    runner.same(
        textwrap.dedent("""
        import asyncio, httpx, inspect, traceback
        class Odd(Exception): pass
        def handler(request):
            if request.url.path == "/odd": raise Odd(request.method)
            return httpx.Response(204, headers={"x": "y"})
        def attempt(act):
            try: print(act())
            except Exception: traceback.print_exc()
        client = httpx.Client(transport=httpx.MockTransport(handler), base_url="http://nowhere")
        attempt(lambda: client.get("/odd"))
        attempt(lambda: client.get("/fine"))
        attempt(lambda: client.send("no request"))
        attempt(lambda: client.send())
        attempt(lambda: client.send(httpx.Request("GET", "http://x"), nothing=1))
        attempt(lambda: httpx.get("gopher://x"))
        attempt(lambda: httpx.get("http://127.0.0.1:9/"))
        client.close()
        attempt(lambda: client.get("/fine"))
        async def main():
            async with httpx.AsyncClient(transport=httpx.MockTransport(handler), base_url="http://nowhere") as client:
                for path in "/odd", "/fine":
                    try: print(await client.get(path))
                    except Exception: traceback.print_exc()
                try: await client.send(None)
                except Exception: traceback.print_exc()
        asyncio.run(main())
        for kind in httpx.Client, httpx.AsyncClient:
            print(list(inspect.signature(kind.send).parameters), kind.send.__qualname__)
            print(inspect.iscoroutinefunction(kind.send))
        """)
    )


def test_a_failure_of_ours_is_counted_and_not_felt(runner: Runner):
    ran = runner.run(
        SERVE
        + textwrap.dedent("""
        from aftertrace.record import boundaries, propagation
        def broken(*args): raise AttributeError("ours")
        propagation.write = broken
        with httpx.Client() as client:
            assert client.get(base + "/x").status_code == 200
        propagation.parent = broken
        assert httpx.get(base + "/x").status_code == 200
        print(json.dumps([got[0][1].get("traceparent"), [d for n, s, d in boundaries.report() if d], len(got)]))
        """)
    )
    assert ran.err == ""
    assert json.loads(ran.out) == [None, ["2 internal failures, the last AttributeError"], 2]
    assert [span.ended for span in ran.recorded.of(CLIENT)] == [True]


def test_a_time_limit_that_strikes_within_our_work_is_not_swallowed(runner: Runner):
    ran = runner.run(
        SERVE
        + textwrap.dedent("""
        from aftertrace.record import propagation
        class Limit(Exception): pass
        for kind in Limit, TimeoutError:
            def strikes(*args): raise kind("time is up")
            propagation.parent = strikes
            try: httpx.get(base + "/x")
            except kind as error: print(error)
        """)
    )
    assert (ran.out, ran.err) == ("time is up\n" * 2, "")
