"""The HTTP API: every registered question, bundles, health."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from html import escape
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from aftertrace import __version__
from aftertrace.errors import AftertraceError, NotFound
from aftertrace.explain import questions
from aftertrace.explain.question import Sources
from aftertrace.serve.keeping import Keeping
from aftertrace.store.store import Store
from aftertrace.wire import bundle

_LOG = logging.getLogger("aftertrace.serve")


class Api:
    """Answers from one store."""

    def __init__(self, store: Store, keeping: Keeping, otlp: Mapping[str, str]) -> None:
        self._store = store
        self._keeping = keeping
        self._otlp = dict(otlp)

    async def question(self, request: Request) -> Response:
        asked = questions.find(request.path_params["question"])
        arguments = asked.read(dict(request.query_params))
        sources: Sources = self._store
        try:
            answer = await run_in_threadpool(lambda: asked.ask(sources, **arguments).to_json())
        except NotFound as error:
            raise await self._why_not(error, arguments) from None
        if not (answer.get("kept") or answer.get("keeps")) and "trace_id" in answer:
            told = await self._keeping.why_not(answer["trace_id"])
            answer["not_kept"] = told.to_json()["error"] if told is not None else None
        return _json(answer)

    async def _why_not(self, error: NotFound, arguments: dict[str, Any]) -> NotFound:
        """Of a request that the server does not know agents may know why."""
        if error.slug != "no-such-trace" or "reference" not in arguments:
            return error
        return await self._keeping.why_not(str(arguments["reference"])) or error

    async def order(self, request: Request) -> Response:
        return _json(await self._keeping.order(request))

    async def keep(self, request: Request) -> Response:
        return _json(await self._keeping.keep(request))

    async def rules(self, _: Request) -> Response:
        return _json(await self._keeping.rules())

    async def remove(self, request: Request) -> Response:
        return _json(await self._keeping.remove(request.path_params["rule"]))

    async def search(self, request: Request) -> Response:
        return _json(self._keeping.search(request.path_params["search"]))

    async def listing(self, _: Request) -> Response:
        """What can be asked, and how."""
        asked = [
            {
                "name": question.name,
                "help": question.help,
                "parameters": [
                    {"name": p.name, "kind": p.kind.__name__, "default": p.default, "help": p.help}
                    for p in question.parameters
                ],
            }
            for question in questions.QUESTIONS.values()
        ]
        return _json({"version": __version__, "questions": asked})

    async def bundle(self, request: Request) -> Response:
        return Response(
            await run_in_threadpool(self._bundle, request.path_params["trace"]), media_type=bundle.MEDIA_TYPE
        )

    def _bundle(self, reference: str) -> bytes:
        return bundle.dump(self._store.trace(self._store.resolve(reference)))

    async def healthz(self, _: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(self, _: Request) -> Response:
        ready = await run_in_threadpool(self._store.healthy)
        return _json({"status": "ok" if ready else "store", "otlp": self._otlp}, 200 if ready else 503)

    async def page(self, _: Request) -> Response:
        return HTMLResponse(_page())


def _json(data: Any, status: int = 200) -> Response:
    return Response(json.dumps(data, separators=(",", ":")), status, media_type="application/json")


def failure(error: AftertraceError) -> Response:
    """An error of the tree as the API says it."""
    return _json(error.to_json(), error.http_status)


async def _failed(_: Request, error: Exception) -> Response:
    if isinstance(error, AftertraceError):
        return failure(error)
    if isinstance(error, HTTPException):
        slug = "not-found" if error.status_code == 404 else "http"
        return _json(
            {"error": {"slug": slug, "message": error.detail, "hint": "GET /api/v1 lists what can be asked."}},
            error.status_code,
        )
    _LOG.error("a question failed: %s: %s", type(error).__name__, error)
    return _json({"error": {"slug": "internal", "message": "The server failed.", "hint": "Its log says why."}}, 500)


def _page() -> str:
    asked = ((escape(question.name), escape(question.help)) for question in questions.QUESTIONS.values())
    rows = "".join(f"<tr><td><a href='/api/v1/{n}'><code>{n}</code></a></td><td>{text}</td></tr>" for n, text in asked)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>aftertrace</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem}}
td{{padding:.2rem 1rem .2rem 0}}</style>
</head><body><h1>aftertrace {escape(__version__)}</h1>
<p>Step through yesterday's production failure, line by line, across every service it touched.</p>
<p>Record a program, list what was kept, step through it:</p>
<pre>aftertrace run --service NAME -- python app.py
aftertrace ls
aftertrace show last
aftertrace step last</pre>
<h2>What can be asked over HTTP</h2><table>{rows}</table></body></html>"""


def app(store: Store, keeping: Keeping, otlp: Mapping[str, str]) -> Starlette:
    """GET /api/v1/{question}, /api/v1/bundle/{trace}, /healthz, /readyz, /; POST /api/v1/keep and what goes with it.

    ``otlp``: where OTLP is taken, as /readyz says it.
    """
    api = Api(store, keeping, otlp)
    handlers: dict[Any, Any] = dict.fromkeys((AftertraceError, HTTPException, Exception), _failed)
    routes = [
        Route("/", api.page),
        Route("/healthz", api.healthz),
        Route("/readyz", api.readyz),
        Route("/api/v1", api.listing),
        Route("/api/v1/bundle/{trace:path}", api.bundle),
        Route("/api/v1/keep", api.order, methods=["POST"]),
        Route("/api/v1/keep/trace", api.keep, methods=["POST"]),
        Route("/api/v1/keep/rules", api.rules),
        Route("/api/v1/keep/rules/{rule}", api.remove, methods=["DELETE"]),
        Route("/api/v1/keep/search/{search}", api.search),
        Route("/api/v1/{question}", api.question),
    ]
    return Starlette(routes=routes, exception_handlers=handlers)
