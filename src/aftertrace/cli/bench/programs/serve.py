"""``python -m PACKAGE.serve PROGRAM``: one of the programs as a server of one process, on a free port of loopback."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

from .control import Control
from .tools import prepare, run

_IDLE_S = 600  # the load on a server stands still while others have their turn


def main() -> None:
    tool = os.environ.get("BENCH_TOOL", "")
    control = Control(os.environ["BENCH_CONTROL"])
    control.start()
    prepare(tool)
    module = importlib.import_module(f".{sys.argv[1]}", __package__)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        control.port = listener.getsockname()[1]
        run(tool, lambda: _serve(module, listener, tool), Path(str(module.__file__)))


def _serve(module: Any, listener: socket.socket, tool: str) -> None:
    if tool == "logfire":
        _logfire(module)
    if hasattr(module, "application") or name_of(module.app) == "Flask":
        from waitress import serve  # noqa: PLC0415

        app = module.application() if hasattr(module, "application") else module.app
        serve(app, sockets=[listener], threads=8, channel_timeout=_IDLE_S)
        return
    import uvicorn  # noqa: PLC0415

    config = uvicorn.Config(module.app, log_level="warning", access_log=False, timeout_keep_alive=_IDLE_S)
    uvicorn.Server(config).run(sockets=[listener])


def name_of(value: object) -> str:
    """Of its class as it was made: a tool may have put a subclass in its place."""
    return next(kind.__name__ for kind in type(value).__mro__ if kind.__module__.split(".")[0] in {"flask", "fastapi"})


def _logfire(module: Any) -> None:
    """All that Logfire knows of this program."""
    import logfire  # noqa: PLC0415

    if "django" in sys.modules:
        logfire.instrument_django()
    elif name_of(module.app) == "Flask":
        logfire.instrument_flask(module.app)
        logfire.instrument_sqlalchemy(engine=module.engine)
    else:
        logfire.instrument_fastapi(module.app)
    if "httpx" in sys.modules:
        logfire.instrument_httpx()


if __name__ == "__main__":
    main()
