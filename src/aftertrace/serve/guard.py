"""Who may speak to a port (D15): with a token, who has it; without one, only who addresses this machine as itself."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aftertrace.errors import AftertraceError, Unauthorized, UsageError

_OPEN = {"/healthz", "/readyz"}
_SELF = {"localhost", "127.0.0.1", "::1"}

type Refuse = Callable[[AftertraceError, Headers], Response]


class Guard:
    """ASGI middleware; ``refuse`` makes the answer in the port's own kind."""

    def __init__(
        self, app: ASGIApp, token: str, host: str, refuse: Callable[[AftertraceError, Headers], Response]
    ) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = _SELF | {host.lower()}
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        problem = self._problem(headers) if scope["type"] == "http" and scope["path"] not in _OPEN else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await self._refuse(problem, headers)(scope, receive, send)

    def _problem(self, headers: Headers) -> AftertraceError | None:
        if self._token:
            given = headers.get("authorization", "").encode("latin-1", "replace")
            if hmac.compare_digest(given, b"Bearer " + self._token):
                return None
            hint = "Set AFTERTRACE_TOKEN to the server's token, or send Authorization: Bearer TOKEN."
            return Unauthorized("bad-token", "The token is missing or wrong.", hint)
        # A web page whose name was made to point here (DNS rebinding) comes with that name.
        name = _name(headers.get("host", ""))
        if name in self._hosts:
            return None
        return UsageError("bad-host", f"This server does not go by the name {name!r}.", "Use http://127.0.0.1.")


def _name(host: str) -> str:
    """A Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
