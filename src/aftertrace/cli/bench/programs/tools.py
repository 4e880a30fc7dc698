"""What a person would put into a program for a tool that no command line switches on; BENCH_TOOL names it."""

from __future__ import annotations

import ast
import bdb
import importlib.machinery
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import FrameType
from typing import Any

_MARK = "# breakpoint"
_OURS = {"serve", "tick", "tools", "control"}
type Serve = Callable[[], None]


def prepare(tool: str) -> None:
    """Before the program is imported."""
    preparations: dict[str, Callable[[], None]] = {"logging": _log, "sentry": _sentry, "logfire": _logfire}
    if tool in preparations:
        preparations[tool]()


def run(tool: str, serve: Serve, program: Path) -> None:
    """The server, under what must be around it."""
    around: dict[str, Callable[[Serve, Path], None]] = {"breakpoint": _debugged, "viztracer": _viztraced}
    if tool in around:
        around[tool](serve, program)
    else:
        serve()


# -- verbose logging ------------------------------------------------------------------------------------------------


class _Lines(ast.NodeTransformer):
    """``_log.debug("name a=%r", a)`` as the first statement of each function."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            text = " ".join([node.name, *(f"{name}=%r" for name in names)])
            call = ast.parse(f"_log.debug({', '.join([repr(text), *names])})").body[0]
            node.body.insert(1 if ast.get_docstring(node) else 0, call)
        return node


class _Logged(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path))
        _Lines().visit(tree)  # in place
        at = next(i for i, one in enumerate(tree.body) if not _is_head(one))
        tree.body[at:at] = ast.parse("import logging\n_log = logging.getLogger(__name__)").body
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


def _is_head(statement: ast.stmt) -> bool:
    """A docstring or an import from __future__."""
    return isinstance(statement, ast.Expr) or (
        isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
    )


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, _: object, __: object = None) -> Any:
        package, _dot, name = fullname.rpartition(".")
        if package != __package__ or name in _OURS:
            return None
        path = Path(__file__).with_name(f"{name}.py")
        return importlib.util.spec_from_file_location(fullname, path, loader=_Logged(fullname, str(path)))


def _log() -> None:
    """A DEBUG line per call of the program's functions, arguments included, to a file; libraries stay at INFO."""
    logging.basicConfig(filename=os.environ["BENCH_LOG"], format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger(__package__).setLevel(logging.DEBUG)
    sys.meta_path.insert(0, _Finder())


# -- others ---------------------------------------------------------------------------------------------------------


def _sentry() -> None:
    import sentry_sdk  # noqa: PLC0415

    sentry_sdk.init(dsn=os.environ["SENTRY_DSN"], traces_sample_rate=1.0)


def _logfire() -> None:
    import logfire  # noqa: PLC0415

    logfire.configure(console=False, advanced=logfire.AdvancedOptions(base_url=os.environ["BENCH_SINK"]))


def _viztraced(serve: Serve, _: Path) -> None:
    """Its ring of the last entries is kept and never written out."""
    from viztracer import VizTracer  # noqa: PLC0415

    tracer = VizTracer(tracer_entries=1_000_000, verbose=0)
    tracer.start()
    serve()


class _Waiting(bdb.Bdb):
    """A debugger that runs on; as pdb, it stops at its first line, where it is told to."""

    def user_line(self, _: FrameType) -> None:
        self.set_continue()


def _debugged(serve: Serve, program: Path) -> None:
    """One breakpoint, in a branch of the handler that is never taken; threads are traced too, as debugpy does."""
    debugger = _Waiting()
    lines = program.read_text().splitlines()
    debugger.set_break(str(program), next(at for at, line in enumerate(lines, 1) if _MARK in line))
    threading.settrace(debugger.trace_dispatch)
    debugger.runcall(serve)
