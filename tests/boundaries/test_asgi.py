"""Requests into ASGI applications: one SERVER span each, with the right name, parent and status; the rest passes."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from .conftest import CLIENT, SERVER, Runner

# ask(app, path, ...): one request as a server makes it, answered with (status, body, exception).
ASK = """
import asyncio, json
def scope_of(path="/", method="GET", headers=(), kind="http", **more):
    scope = {"type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": list(headers),
        "client": ("1.2.3.4", 5), "server": ("127.0.0.1", 8000)}
    return scope | more
def receiver():
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    async def receive():
        return messages.pop() if messages else await asyncio.sleep(3600)
    return receive
async def ask(app, path="/", method="GET", headers=(), kind="http", **more):
    scope = scope_of(path, method, headers, kind, **more)
    sent = []
    async def send(message):
        sent.append(message)
    try:
        await app(scope, receiver(), send)
    except Exception as error:
        return [m.get("status") for m in sent if "status" in m], type(error).__name__
    return [m.get("status") for m in sent if "status" in m], None
"""


def asgi(runner: Runner, program: str, **env: str) -> Any:
    return runner.good(ASK + textwrap.dedent(program), **env)


def test_names_statuses_and_attributes(runner: Runner):
    ran = asgi(
        runner,
        """
        from http import HTTPStatus
        from fastapi import FastAPI, HTTPException, APIRouter
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse, Response
        from starlette.routing import Mount, Route
        app, sub, router = FastAPI(), FastAPI(), APIRouter(prefix="/v1")
        @app.get("/items/{item}")
        async def item(item: int): return {"item": item}
        @app.get("/sync")
        def sync(): return 1
        @app.get("/teapot")
        async def teapot(): raise HTTPException(418)
        @app.get("/enum")
        async def enum(): return Response(status_code=HTTPStatus.ACCEPTED)
        @app.get("/bad")
        async def bad(): raise HTTPException(503, "later")
        @app.get("/boom")
        async def boom(): raise KeyError("x")
        @router.get("/users/{name}")
        async def user(name: str): return name
        @sub.get("/inner/{n}")
        async def inner(n: int): return n
        app.include_router(router)
        app.mount("/sub", sub)
        app.mount("/of/{tenant}", Starlette(routes=[Route("/page/{n:int}", lambda request: PlainTextResponse("x"))]))
        async def main():
            paths = "/items/7 /sync /teapot /enum /bad /boom /nowhere /v1/users/ann /sub/inner/3 /sub/nowhere"
            for path in (paths + " /of/acme/page/4").split():
                print(path, *await ask(app, path))
            print(await ask(app, "/items/7", "DELETE"), await ask(app, "/items/7", "BREW"))
            print(await ask(app, "/items/1", headers=[(b"host", b"[::1]:8000"), (b"user-agent", b"caf\\xe9")]))
        asyncio.run(main())
        """,
    )
    spans = ran.recorded.of(SERVER)
    assert all(span.ended for span in spans)
    told = ("http.response.status_code", "error.type")
    assert [(s.name, s.attributes.get(told[0]), s.status, s.attributes.get(told[1])) for s in spans] == [
        ("GET /items/{item}", 200, 0, None),
        ("GET /sync", 200, 0, None),
        ("GET /teapot", 418, 0, None),
        ("GET /enum", 202, 0, None),
        ("GET /bad", 503, 2, "503"),
        ("GET /boom", 500, 2, "KeyError"),
        ("GET", 404, 0, None),
        ("GET /v1/users/{name}", 200, 0, None),
        ("GET /sub/inner/{n}", 200, 0, None),
        ("GET", 404, 0, None),
        ("GET /of/{tenant}/page/{n:int}", 200, 0, None),
        ("DELETE /items/{item}", 405, 0, None),
        ("HTTP /items/{item}", 405, 0, None),
        ("GET /items/{item}", 200, 0, None),
    ]
    assert spans[5].events[0][1]["exception.type"] == "KeyError"
    assert spans[0].attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/7",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "server.port": 8000,
        "client.address": "1.2.3.4",
        "http.route": "/items/{item}",
        "http.response.status_code": 200,
    }
    assert spans[-2].attributes["http.request.method"] == "_OTHER"
    assert spans[-1].attributes["server.address"] == "::1"
    assert spans[-1].attributes["user_agent.original"] == "café"
    assert not any(span.parent for span in spans)
    assert len({span.trace for span in spans}) == len(spans)


TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01".encode()


@pytest.mark.parametrize(
    ("headers", "remote", "state", "bags"),
    [
        ([(b"traceparent", GOOD)], True, "", ""),
        ([(b"traceparent", GOOD), (b"traceparent", GOOD)], False, "", ""),
        ([(b"traceparent", b"\xff" + GOOD)], False, "", ""),
        ([(b"traceparent", b"")], False, "", ""),
        ([(b"traceparent", GOOD), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")], True, "a=1,b=2", ""),
        ([(b"traceparent", GOOD), (b"tracestate", b"a=\xe9")], True, "", ""),
        ([(b"tracestate", b"a=1")], False, "", ""),
        ([(b"baggage", b"k=v,\xe9=1"), (b"baggage", b"l=w")], False, "", "k=v,l=w"),
    ],
)
def test_the_callers_context(runner: Runner, headers: list[tuple[bytes, bytes]], remote: bool, state: str, bags: str):
    ran = asgi(
        runner,
        f"""
        from starlette.applications import Starlette
        from aftertrace import _native
        from aftertrace.record import propagation
        class App(Starlette):
            def build_middleware_stack(self): return handle
        async def handle(scope, receive, send):
            carrier = {{}}
            span = _native.current()
            propagation.write(span, carrier)
            carrier.pop("traceparent")
            print(json.dumps([span.trace_state, propagation.current_baggage(), carrier]))
        async def main():
            await ask(App(), headers={headers!r})
            assert _native.current() is None and propagation.current_baggage() == ""
        asyncio.run(main())
        """,
    )
    span = ran.recorded.one(SERVER)
    assert (span.trace == TRACE, span.parent == PARENT, span.start.remote) == (remote,) * 3
    sent = {name: value for name, value in (("tracestate", state), ("baggage", bags)) if value}
    assert ran.answer == [state, bags, sent]


def test_websockets_and_lifespan_pass(runner: Runner):
    ran = asgi(
        runner,
        """
        from starlette.applications import Starlette
        from aftertrace import _native
        seen = []
        class App(Starlette):
            def build_middleware_stack(self): return handle
        async def handle(scope, receive, send):
            seen.append((scope["type"], _native.current(), send.__name__))
        async def main():
            await ask(App(), kind="websocket")
            await ask(App(), kind="lifespan")
        asyncio.run(main())
        assert seen == [("websocket", None, "send"), ("lifespan", None, "send")], seen
        """,
    )
    assert ran.recorded.spans == []


def test_one_request_is_one_span_however_many_applications_it_passes(runner: Runner):
    ran = asgi(
        runner,
        """
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount, Route
        from aftertrace import _native
        seen = []
        async def page(request):
            seen.append(_native.current().span_id)
            return PlainTextResponse("x")
        async def around(request, call_next):
            seen.append(_native.current().span_id)
            response = await call_next(request)
            seen.append(_native.current().span_id)
            return response
        inner = Starlette(routes=[Route("/page", page)], middleware=[Middleware(BaseHTTPMiddleware, dispatch=around)])
        class Copying:
            def __init__(self, app): self.app = app
            async def __call__(self, scope, receive, send): await self.app(dict(scope), receive, send)
        middle = Starlette(routes=[Mount("/b", Copying(inner))])
        outer = Starlette(routes=[Mount("/a", middle)], middleware=[Middleware(Copying)])
        async def main():
            print(await ask(outer, "/a/b/page"))
            assert len(set(seen)) == 1 and len(seen) == 3
        asyncio.run(main())
        """,
    )
    span = ran.recorded.one(SERVER)
    assert (span.name, span.attributes["http.response.status_code"], span.ended) == ("GET /a/b/page", 200, True)


def test_a_call_in_process_is_a_request_of_its_own(runner: Runner):
    ran = asgi(
        runner,
        """
        import httpx
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from starlette.testclient import TestClient
        async def page(request):
            if request.query_params.get("deep"):
                async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://in") as client:
                    return PlainTextResponse((await client.get("/page")).text)
            return PlainTextResponse(json.dumps(sorted(request.headers)))
        app = Starlette(routes=[Route("/page", page)])
        with TestClient(app) as client:
            print(client.get("/page?deep=1").text)
        """,
    )
    by_id = {span.id: span for span in ran.recorded.spans}
    outer, inner = ran.recorded.of(SERVER)
    asked, within = by_id[outer.parent], by_id[inner.parent]
    assert (asked.kind, within.kind, asked.parent, within.parent) == (CLIENT, CLIENT, "", outer.id)
    assert len({span.trace for span in ran.recorded.spans}) == 1
    assert "traceparent" in ran.answer


def test_exceptions_pass_as_they_are(runner: Runner):
    runner.same(
        ASK
        + textwrap.dedent(
            """
        import traceback
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.responses import PlainTextResponse, StreamingResponse
        from starlette.routing import Route
        async def boom(request): raise KeyError("x")
        async def group(request):
            async with asyncio.TaskGroup() as tasks:
                for n in range(2): tasks.create_task(fail(n))
        async def fail(n): raise ValueError(n)
        async def stream(request):
            async def parts():
                yield "a"
                raise OSError("gone")
            return StreamingResponse(parts())
        async def system_exit(request): raise SystemExit(3)
        async def through(request, call_next): return await call_next(request)
        wrapping = [Middleware(BaseHTTPMiddleware, dispatch=through)]
        routes = [Route("/" + f.__name__, f) for f in (boom, group, stream, system_exit)]
        async def attempt(app, path, send):
            try: await app(scope_of(path), receiver(), send)
            except BaseException: traceback.print_exc()
        async def send(message): pass
        async def broken(message): raise ConnectionError("the client has gone")
        async def main():
            for app in Starlette(routes=routes), Starlette(routes=routes, middleware=wrapping):
                paths = "/boom /group /stream /nowhere" + (" /system_exit" if not app.user_middleware else "")
                for path in paths.split():  # an exit within a task group's task leaves tasks to the garbage collector
                    await attempt(app, path, send)
                    await attempt(app, path, broken)
        asyncio.run(main())
        """
        )
    )


def test_cancellation_background_and_streams(runner: Runner):
    ran = asgi(
        runner,
        """
        from starlette.applications import Starlette
        from starlette.background import BackgroundTask
        from starlette.responses import PlainTextResponse, StreamingResponse
        from starlette.routing import Route
        from aftertrace import _native
        spans = []
        async def slow(request): await asyncio.sleep(60)
        async def later(fail):
            spans.append(_native.current()); assert not spans[-1].ended
            if fail: raise KeyError("in the background")
        async def background(request): return PlainTextResponse("x", background=BackgroundTask(later, False))
        async def failing(request): return PlainTextResponse("x", background=BackgroundTask(later, True))
        async def stream(request):
            def parts():
                for n in range(3):
                    spans.append(_native.current()); assert not spans[-1].ended
                    yield str(n)
            return StreamingResponse(parts())
        async def outliving(request):
            async def work():
                await asyncio.sleep(0.05)
                spans.append(_native.current())
                with _native.Span("late"): pass
            request.app.state.task = asyncio.create_task(work())
            return PlainTextResponse("x")
        app = Starlette(routes=[Route("/" + f.__name__, f) for f in (slow, background, failing, stream, outliving)])
        async def main():
            task = asyncio.create_task(ask(app, "/slow"))
            await asyncio.sleep(0.05); task.cancel()
            try: await task
            except asyncio.CancelledError: pass
            print(await ask(app, "/background"), await ask(app, "/failing"), await ask(app, "/stream"))
            await ask(app, "/outliving"); await app.state.task
            abandoned = app(scope_of("/slow"), None, None)
            abandoned.send(None); abandoned.close()
            assert _native.current() is None
        asyncio.run(main())
        """,
    )
    found = {span.name: span for span in ran.recorded.spans}
    assert all(span.ended for span in ran.recorded.spans)
    assert {name: span.status for name, span in found.items()} == {
        "GET /slow": 0,
        "GET /background": 0,
        "GET /failing": 2,
        "GET /stream": 0,
        "GET /outliving": 0,
        "late": 0,
    }
    assert len(ran.recorded.named("GET /slow")) == 2
    assert found["late"].parent == found["GET /outliving"].id


def test_nothing_of_a_request_is_held_by_what_outlives_it(runner: Runner):
    asgi(
        runner,
        """
        import gc, weakref
        from starlette.applications import Starlette
        class Thing(dict): pass
        kept, things = [], []
        class App(Starlette):
            def build_middleware_stack(self): return handle
        async def handle(scope, receive, send):
            thing = Thing(); scope["state"] = thing; things.append(weakref.ref(thing))
            kept.append((asyncio.create_task(asyncio.sleep(60)), send))
            await send({"type": "http.response.start", "status": 200, "headers": []})
        async def main():
            app = App()
            for _ in range(5): await ask(app)
            await asyncio.sleep(0); gc.collect()
            assert [thing() for thing in things] == [None] * 5
        asyncio.run(main())
        """,
    )


def test_memory_stays_flat(runner: Runner):
    asgi(
        runner,
        """
        import tracemalloc
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from aftertrace import _native
        async def page(request): return PlainTextResponse("x")
        async def boom(request): raise KeyError("x")
        app = Starlette(routes=[Route("/page", page), Route("/boom", boom)])
        async def requests(number):
            for n in range(number): await ask(app, "/boom" if n % 10 == 0 else "/page")
        async def main():
            await requests(200)
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            await requests(5000)
            after = tracemalloc.get_traced_memory()[0]
            assert after - before < 50_000, (before, after)
            assert _native.asgi_under_way() == 0
        asyncio.run(main())
        """,
    )


def test_two_hundred_requests_at_once_do_not_mix(runner: Runner):
    ran = asgi(
        runner,
        """
        import random, httpx
        from concurrent.futures import ThreadPoolExecutor
        from fastapi import FastAPI
        from aftertrace import _native
        pool = ThreadPoolExecutor(4)
        app = FastAPI()
        def leaf(where, n):
            with _native.Span(f"{where} {n}"): pass
        async def task(n):
            await asyncio.sleep(random.random() / 50)
            leaf("task", n)
        @app.get("/async/{n}")
        async def a(n: int):
            others = [asyncio.create_task(task(n)) for _ in range(2)]
            await asyncio.sleep(random.random() / 50)
            leaf("async", n)
            await asyncio.get_running_loop().run_in_executor(pool, leaf, "pool", n)
            await asyncio.to_thread(leaf, "to_thread", n)
            await asyncio.gather(*others)
        @app.get("/sync/{n}")
        def s(n: int): leaf("sync", n)
        async def main():
            await asyncio.gather(*[ask(app, f"/{'async' if n % 2 else 'sync'}/{n}") for n in range(200)])
            leaf("outside", 0)
            assert list(pool.map(lambda _: _native.current(), range(8))) == [None] * 8
        asyncio.run(main())
        """,
    )
    servers = {span.id: span for span in ran.recorded.of(SERVER)}
    assert len({span.trace for span in servers.values()}) == len(servers) == 200
    leaves = [span for span in ran.recorded.spans if span.kind == 1]
    assert len(leaves) == 100 * 5 + 100 + 1
    for span in leaves:
        where, n = span.name.split()
        if where == "outside":
            assert not span.parent
            continue
        server = servers[span.parent]
        assert (server.attributes["url.path"].rsplit("/")[-1], server.trace) == (n, span.trace)


def test_applications_look_as_they_are(runner: Runner):
    runner.same(
        """
        import inspect
        from fastapi import FastAPI
        from starlette.applications import Starlette
        for kind in FastAPI, Starlette:
            app = kind()
            print(inspect.signature(kind.__call__), inspect.iscoroutinefunction(app.__call__), kind.__call__.__name__)
            print(inspect.iscoroutinefunction(kind.__call__), kind.__call__.__module__, kind.__call__.__doc__)
        """
    )
