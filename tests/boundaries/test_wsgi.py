"""Requests into WSGI applications: one SERVER span each; the response, its iteration and its close() as without us."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from .conftest import CLIENT, SERVER, Runner

# ask(app, path, ...): one request through the standard library's own WSGI server code; (status, body, what it logged).
ASK = """
import io, json, os, sys, traceback
from wsgiref.handlers import SimpleHandler
from wsgiref.util import FileWrapper
class Handler(SimpleHandler):
    http_version, server_software, origin_server = "1.1", None, True
    wsgi_file_wrapper = FileWrapper
    def send_preamble(self): self._write(f"{self.status}\\r\\n".encode("latin-1"))
def ask(app, path="/", method="GET", kind=Handler, **headers):
    out, err = io.BytesIO(), io.StringIO()
    environ = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "secret=1",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "1.2.3.4"}
    environ |= {"HTTP_" + name.upper(): value for name, value in headers.items()}
    handler = kind(io.BytesIO(), out, err, environ)
    try: handler.run(app)
    except BaseException: err.write(traceback.format_exc())
    head, _, body = out.getvalue().partition(b"\\r\\n\\r\\n")
    return [head.split(b"\\r\\n")[0].decode(), body.decode("latin-1"), err.getvalue()]
"""


def wsgi(runner: Runner, program: str, **env: str) -> Any:
    return runner.good(ASK + textwrap.dedent(program), **env)


FRAMEWORKS = """
import logging
logging.disable()
import flask, django
from django.conf import settings
from werkzeug.middleware.dispatcher import DispatcherMiddleware
settings.configure(ROOT_URLCONF="__main__", SECRET_KEY="s", ALLOWED_HOSTS=["*"], DEBUG=False)
django.setup()
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse, FileResponse
from django.urls import include, path, re_path
shop = flask.Flask("shop")
users = flask.Blueprint("users", "users", url_prefix="/users")
def order(request, n): return JsonResponse({"n": n})
def page(request, name): return HttpResponse(name)
def boom(request): raise KeyError("django")
def denied(request): raise PermissionDenied
def parts(request): return StreamingHttpResponse(str(n) for n in range(3))
def file(request): return FileResponse(open(os.devnull, "rb"))
async def later(request): return HttpResponse("later")
urlpatterns = [path("orders/<int:n>/", order), path("in/", include([path("pages/<str:name>", page)])),
    re_path(r"^old/(?P<n>[0-9]+)/$", order), path("boom", boom), path("denied", denied), path("parts", parts),
    path("file", file), path("later", later)]
from django.core.wsgi import get_wsgi_application
site = get_wsgi_application()
@users.get("/<int:n>")
def user(n): return str(n)
@shop.get("/boom")
def shop_boom(): raise KeyError("flask")
@shop.get("/later")
def shop_later(): flask.abort(503)
@shop.errorhandler(ZeroDivisionError)
def no_zero(error): return "no zero", 400
@shop.get("/zero")
def zero(): return str(1 / 0)
@shop.get("/stream")
def stream(): return flask.Response(flask.stream_with_context(iter("abc")))
shop.register_blueprint(users)
"""


def test_names_statuses_and_attributes_of_flask_and_django(runner: Runner):
    ran = wsgi(
        runner,
        FRAMEWORKS
        + """
for path in "/users/7 /boom /later /zero /stream /nowhere".split(): print(path, ask(shop, path)[:2])
print(ask(shop, "/users/7", "DELETE")[0], ask(shop, "/users/7", "BREW")[0])
for path in "/orders/7/ /in/pages/ann /old/3/ /boom /denied /parts /file /nowhere /later".split():
    print(path, ask(site, path)[:2])
both = DispatcherMiddleware(shop, {"/site": site, "/again": shop})
print(ask(both, "/site/orders/7/")[0], ask(both, "/again/users/7")[0])
print(ask(shop, "/caf\\u00c3\\u00a9", host="[::1]:8000", user_agent="caf\\u00e9")[0])
""",
    )
    assert ran.recorded.of(CLIENT) == []
    spans = ran.recorded.of(SERVER)
    assert all(span.ended for span in spans)
    told = ("http.response.status_code", "error.type")
    assert [(s.name, s.attributes.get(told[0]), s.status, s.attributes.get(told[1])) for s in spans] == [
        ("GET /users/<int:n>", 200, 0, None),
        ("GET /boom", 500, 2, "KeyError"),
        ("GET /later", 503, 2, "503"),
        ("GET /zero", 400, 0, None),
        ("GET /stream", 200, 0, None),
        ("GET", 404, 0, None),
        ("DELETE", 405, 0, None),
        ("HTTP", 405, 0, None),
        ("GET /orders/<int:n>/", 200, 0, None),
        ("GET /in/pages/<str:name>", 200, 0, None),
        ("GET /old/(?P<n>[0-9]+)/$", 200, 0, None),
        ("GET /boom", 500, 2, "KeyError"),
        ("GET /denied", 403, 0, None),
        ("GET /parts", 200, 0, None),
        ("GET /file", 200, 0, None),
        ("GET", 404, 0, None),
        ("GET /later", 200, 0, None),
        ("GET /site/orders/<int:n>/", 200, 0, None),
        ("GET /again/users/<int:n>", 200, 0, None),
        ("GET", 404, 0, None),
    ]
    for boom, message in (spans[1], "'flask'"), (spans[11], "'django'"):
        assert [(name, event["exception.type"]) for name, event in boom.events] == [("exception", "KeyError")], message
    assert spans[0].attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/users/7",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "client.address": "1.2.3.4",
        "http.route": "/users/<int:n>",
        "http.response.status_code": 200,
    }
    assert spans[7].attributes["http.request.method"] == "_OTHER"
    last = spans[-1].attributes
    assert (last["server.address"], last["user_agent.original"], last["url.path"]) == ("::1", "café", "/café")
    assert len({span.trace for span in spans}) == len(spans)


def test_the_callers_context(runner: Runner):
    good = f"00-{5:032x}-{6:016x}-00"
    ran = wsgi(
        runner,
        f"""
        from aftertrace import _native
        from aftertrace.record import propagation
        def app(environ, start_response):
            carrier = {{}}
            propagation.write(_native.current(), carrier)
            print(json.dumps([_native.current().trace_state, carrier.get("baggage"), carrier["traceparent"][-2:]]))
            start_response("200 OK", [])
            return [b""]
        ask(app, traceparent="{good}", tracestate="a=1,b=2", baggage="k=v")
        ask(app, traceparent="{good},{good}")
        ask(app, traceparent="\\u00ff{good}")
        assert _native.current() is None and propagation.current_baggage() == ""
        """,
    )
    first, *others = ran.recorded.of(SERVER)
    assert (first.trace, first.parent, first.start.remote) == (f"{5:032x}", f"{6:016x}", True)
    assert [span.parent for span in others] == ["", ""]
    assert ran.out.splitlines()[0] == '["a=1,b=2", "k=v", "00"]'


# Applications of every kind that PEP 3333 allows, and some that it does not.
KINDS = """
import warnings
TYPE = [("Content-Type", "text/plain")]
def start(start_response, status="200 OK", *more): return start_response(status, TYPE, *more)
def a_list(environ, start_response): start(start_response); return [b"a", b"b"]
def a_tuple(environ, start_response): start(start_response); return (b"a",)
def nothing(environ, start_response): start(start_response); return None
def no_start(environ, start_response): return [b"x"]
def generator(environ, start_response): start(start_response); yield b"a"; yield b"b"
def empty(environ, start_response): start(start_response); return iter(())
def at_once(environ, start_response): raise KeyError("at once")
def in_the_middle(environ, start_response): start(start_response); yield b"a"; raise KeyError("in the middle")
def before_all(environ, start_response):
    raise KeyError("before all")
    yield b""
def writes(environ, start_response):
    write = start(start_response); write(b"w"); write(b"x"); return [b"y"]
def keywords(environ, start_response):
    start_response(status="201 Created", headers=[]); return [b"k"]
def replaced(environ, start_response):
    start(start_response)
    try: raise ValueError("replaced")
    except ValueError: start(start_response, "500 Oops", sys.exc_info())
    return [b"error"]
def too_late(environ, start_response):
    start(start_response); yield b"sent"
    try: raise ValueError("too late")
    except ValueError: start(start_response, "500 Oops", sys.exc_info())
    yield b"never"
def twice(environ, start_response): start(start_response); start(start_response); return [b""]
def wrong_headers(environ, start_response): start_response("200 OK", None); return [b""]
def text(environ, start_response): start(start_response); return ["not bytes"]
def a_file(environ, start_response):
    start(start_response); return environ["wsgi.file_wrapper"](io.BytesIO(b"file"), 2)
def warned(environ, start_response):
    start(start_response); warnings.warn("look here", stacklevel=2); return [b""]
def exits(environ, start_response): raise SystemExit(3)
class Thing:
    def __init__(self, name, *chunks): self.name, self.chunks = name, chunks
    def __iter__(self): print("iter", self.name); return iter(self.chunks)
class Closing(Thing):
    def close(self): print("close", self.name)
class Bad(Thing):
    def close(self): raise OSError("close " + self.name)
class Sized(Closing):
    def __len__(self): return len(self.chunks)
class NoIter:
    def __iter__(self): raise TypeError("not to be iterated")
    def close(self): print("close no iter")
def thing(kind, *chunks):
    def app(environ, start_response): start(start_response); return kind(kind.__name__, *chunks)
    return app
def no_iter(environ, start_response): start(start_response); return NoIter()
apps = [a_list, a_tuple, nothing, no_start, generator, empty, at_once, in_the_middle, before_all, writes, keywords,
    replaced, too_late, twice, wrong_headers, text, a_file, warned, exits, no_iter, thing(Thing, b"1", b"2"),
    thing(Closing, b"1"), thing(Bad, b"1"), thing(Sized, b"1"), thing(Sized, b"1", b"2"), thing(Sized)]
"""


def test_every_kind_of_response_is_sent_and_closed_as_without_us(runner: Runner):
    ran = runner.same(
        ASK
        + KINDS
        + """
for app in apps:
    print(app.__name__, *ask(app))
class Gone(Handler):
    def _write(self, data): raise ConnectionAbortedError("the client has gone")
for app in apps:
    print(app.__name__, *ask(app, kind=Gone))
"""
    )
    spans = ran.recorded.of(SERVER)
    assert len(spans) == 2 * 26
    assert all(span.ended for span in spans)
    first = spans[:26]
    failed = {n for n, span in enumerate(first) if span.attributes.get("error.type") not in {None, "500"}}
    assert failed == {6, 7, 8, 12, 13, 14, 18, 19, 22}
    assert [first[n].attributes["error.type"] for n in sorted(failed)][:4] == ["KeyError"] * 3 + ["ValueError"]
    assert first[11].attributes["http.response.status_code"] == 500
    assert {s.attributes.get("error.type") for s in spans[26:]} >= {"KeyError", "SystemExit"}


def test_what_the_server_sees_of_a_response(runner: Runner):
    runner.same(
        ASK
        + KINDS
        + """
from wsgiref.simple_server import demo_app
from wsgiref.validate import validator
seen = []
class Looking(Handler):
    def finish_response(self):
        body = self.result
        print(hasattr(body, "close"), hasattr(body, "__len__"), isinstance(body, FileWrapper), getattr(body, "name", 0))
        print(len(body) if hasattr(body, "__len__") else None)
        if hasattr(body, "__iter__"):
            once = iter(body)
            print(iter(once) is once, hasattr(once, "__next__"))
        super().finish_response()
for app in apps:
    print(app.__name__, *ask(app, kind=Looking)[:2])
print(*ask(validator(lambda environ, start: (start("200 OK", [("Content-Type", "text/plain")]), [b"x"])[1])))
"""
    )


def test_what_a_caller_makes_of_a_response(runner: Runner):
    """No server does any of this; Django's own tests do, and a middleware below a server that we do not know may."""
    ran = runner.same(
        ASK
        + FRAMEWORKS
        + """
import types, traceback
class Odd:
    def __iter__(self): return iter([b"1"])
    def __bool__(self): return False
    def __str__(self): raise LookupError("no text")
    def __contains__(self, item): return item == 1
def chunks(environ, start_response): start_response("200 OK", []); yield b"a"; yield b"b"
def odd(environ, start_response): start_response("200 OK", []); return Odd()
def tried(*acts):
    for act in acts:
        try: print(act())
        except Exception: print(traceback.format_exc())
def ask_directly(app):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/orders/1/", "SERVER_NAME": "s", "SERVER_PORT": "80",
        "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "SERVER_PROTOCOL": "HTTP/1.1"}
    return app(environ, lambda status, headers: None)
for shop.wsgi_app in (chunks, odd):
    body = ask_directly(shop)
    tried(lambda: (isinstance(body, types.GeneratorType), next(body)), lambda: body.gi_frame is None,
        lambda: bool(body), lambda: str(body)[:4], lambda: 1 in body, lambda: body["none"], lambda: list(body),
        lambda: body == body, lambda: hash(body) == hash(body), lambda: "__next__" in dir(body),
        lambda: next(body), lambda: body.gi_frame)
    getattr(body, "close", str)()
body = ask_directly(site)
body["X-New"] = "1"
body.reason_phrase = "Other"
body.more = 1
del body["Content-Type"]
del body.more
tried(lambda: (repr(body), bytes(body), isinstance(body, HttpResponse), "X-New" in body, "more" in body.__dict__))
body.close()
"""
    )
    spans = ran.recorded.of(SERVER)
    assert [span.ended for span in spans] == [True] * 3


def test_errors_of_frameworks_look_the_same(runner: Runner):
    runner.same(
        ASK
        + FRAMEWORKS.replace("logging.disable()", "logging.basicConfig(format='%(funcName)s %(message)s')")
        + """
import inspect, re
def show(answer): print(re.sub("0x[0-9a-f]+", "", "\\n".join(answer)))
for path in "/boom /nowhere /zero /stream".split(): show(ask(shop, path))
for path in "/boom /nowhere /parts".split(): show(ask(site, path))
shop.config["PROPAGATE_EXCEPTIONS"] = settings.DEBUG_PROPAGATE_EXCEPTIONS = True
for app in shop, site: show(ask(app, "/boom"))
try: shop.test_client().get("/boom")
except KeyError: traceback.print_exc()
try: shop(None, None)
except Exception: traceback.print_exc()
for f in flask.Flask.__call__, flask.Flask.handle_exception, type(site).__call__, type(site).resolve_request:
    print(inspect.signature(f), f.__qualname__, f.__module__)
"""
    )


def test_the_span_is_around_what_runs_while_the_response_is_sent(runner: Runner):
    ran = wsgi(
        runner,
        """
        from aftertrace import _native
        seen = []
        class Body:
            def __init__(self): self.n = 0
            def __iter__(self): seen.append(_native.current()); return self
            def __next__(self):
                seen.append(_native.current()); assert not seen[-1].ended
                self.n += 1
                if self.n > 2: raise StopIteration
                return b"x"
            def close(self): seen.append(_native.current()); assert not seen[-1].ended
        def app(environ, start_response):
            seen.append(_native.current()); start_response("200 OK", []); return Body()
        class Watching(Handler):
            def _write(self, data): assert _native.current() is None; super()._write(data)
        print(ask(app, kind=Watching)[:2])
        assert len(seen) == 6 and len(set(map(id, seen))) == 1 and seen[0].ended, seen
        def lazily(environ, start_response):
            with _native.Span("lazy", 1, _native.current()): pass
            start_response("202 Accepted", []); yield b"x"
        ask(lazily)
        class Forgetful(Handler):
            def finish_response(self): next(iter(self.result)); self.result = None
        ask(app, kind=Forgetful)
        assert seen[-1].ended and _native.current() is None
        """,
    )
    first, second, third = ran.recorded.of(SERVER)
    assert second.attributes["http.response.status_code"] == 202
    assert ran.recorded.named("lazy")[0].parent == second.id
    assert first.ended
    assert third.ended


def test_one_request_is_one_span_and_a_call_in_process_its_own(runner: Runner):
    ran = wsgi(
        runner,
        FRAMEWORKS
        + """
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.middleware.shared_data import SharedDataMiddleware
class Copying:
    def __init__(self, app): self.app = app
    def __call__(self, environ, start_response): return self.app(dict(environ), start_response)
@shop.get("/deep")
def deep(): return shop.test_client().get("/users/9").text
for app in ProxyFix(shop), Copying(shop), DebuggedApplication(Copying(shop)), SharedDataMiddleware(shop, {}):
    print(ask(app, "/users/7")[:2])
print(ask(DebuggedApplication(shop), "/boom")[0])
print(ask(shop, "/deep")[1])
""",
    )
    *alone, outer, inner = ran.recorded.of(SERVER)
    assert [span.name for span in alone] == ["GET /users/<int:n>"] * 4 + ["GET /boom"]
    assert not any(span.parent for span in alone)
    assert alone[4].attributes["error.type"] == "KeyError"
    assert (inner.parent, inner.trace, inner.name) == (outer.id, outer.trace, "GET /users/<int:n>")
    assert outer.name == "GET /deep"


def test_below_an_asgi_server_the_request_has_its_span_already(runner: Runner):
    ran = wsgi(
        runner,
        FRAMEWORKS
        + """
import warnings
warnings.simplefilter("ignore")
import httpx, asyncio
from starlette.applications import Starlette
from starlette.middleware.wsgi import WSGIMiddleware
from starlette.routing import Mount
app = Starlette(routes=[Mount("/shop", WSGIMiddleware(shop))])
async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://in") as client:
        print((await client.get("/shop/users/7")).text)
asyncio.run(main())
""",
    )
    (span,) = ran.recorded.of(SERVER)
    assert (span.scope, span.attributes["http.response.status_code"]) == ("aftertrace.asgi", 200)


def test_nothing_of_a_request_is_held_and_memory_stays_flat(runner: Runner):
    wsgi(
        runner,
        """
        import gc, tracemalloc, weakref
        from aftertrace.record.boundaries import wsgi
        class Thing: pass
        kept, things = [], []
        def app(environ, start_response):
            thing = environ["thing"] = Thing(); things.append(weakref.ref(thing)); kept.append(start_response)
            start_response("200 OK", [])
            if environ["PATH_INFO"] == "/boom": raise KeyError("x")
            return iter([b"x"]) if environ["PATH_INFO"] == "/iter" else [b"x"]
        for path in "/list", "/iter", "/boom": ask(app, path)
        kept.clear()
        gc.collect()
        assert [thing() for thing in things] == [None] * 3, things
        def requests(number):
            for n in range(number): ask(app, ("/list", "/iter", "/boom")[n % 3]); kept.clear(); things.clear()
        requests(100)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        requests(2000)
        after = tracemalloc.get_traced_memory()[0]
        assert after - before < 50_000, (before, after)
        assert wsgi.under_way.get() is None
        """,
    )


def test_a_failure_of_ours_is_counted_and_not_felt(runner: Runner):
    ran = runner.run(
        ASK
        + textwrap.dedent("""
        from aftertrace.record import boundaries
        from aftertrace.record.boundaries import wsgi
        def broken(*args): raise AttributeError("ours")
        def app(environ, start_response): start_response("200 OK", []); yield b"x"
        wsgi.Request.end = broken
        print(ask(app)[:2])
        wsgi.Request = broken
        print(ask(app)[:2])
        print([detail for _, _, detail in boundaries.report() if detail][0].startswith("3 internal failures"))
        """)
    )
    assert ran.err == ""
    assert ran.out.splitlines() == ["['200 OK', 'x']", "['200 OK', 'x']", "True"]


@pytest.mark.parametrize(
    "environ", ["[]", "None", "7", "{}", "{1: 2}", "{'REQUEST_METHOD': 7, 'HTTP_TRACEPARENT': []}"]
)
def test_any_environ_can_be_looked_at(runner: Runner, environ: str):
    runner.same(
        f"""
        import traceback
        from wsgiref.handlers import BaseHandler
        class Handler(BaseHandler):
            def setup_environ(self): self.environ = {environ}
            def finish_response(self): print(list(self.result))
            def handle_error(self): traceback.print_exc()
        def app(environ, start_response): return [repr(environ)]
        Handler().run(app)
        """
    )
