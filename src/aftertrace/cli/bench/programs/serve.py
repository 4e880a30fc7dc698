"""``python -m PACKAGE.serve PROGRAM PORT``: one of the programs as a server of one process, on loopback."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from .control import Control
from .tools import prepare, run

_IDLE_S = 600  # the load on a server stands still while others have their turn


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    tool = os.environ.get("BENCH_TOOL", "")
    Control(os.environ["BENCH_CONTROL"]).start()
    prepare(tool)
    module = importlib.import_module(f".{name}", __package__)
    run(tool, lambda: _serve(module, port, tool), Path(str(module.__file__)))


def _serve(module: Any, port: int, tool: str) -> None:
    if hasattr(module, "application") or name_of(module.app) == "Flask":
        _serve_wsgi(module, port, tool)
        return
    import uvicorn  # noqa: PLC0415

    if tool == "logfire":
        _logfire(module)
    uvicorn.run(
        module.app, host="127.0.0.1", port=port, log_level="warning", access_log=False, timeout_keep_alive=_IDLE_S
    )


def _serve_wsgi(module: Any, port: int, tool: str) -> None:
    from waitress import serve  # noqa: PLC0415

    if tool == "logfire":
        _logfire(module)
    app = module.application() if hasattr(module, "application") else module.app
    serve(app, host="127.0.0.1", port=port, threads=8, channel_timeout=_IDLE_S)


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
