"""redis-py, blocking and asyncio, single servers and clusters: a CLIENT span around each command and pipeline, inside
a trace. Of a command its name is told and how many arguments it has, never a key or a value.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from aftertrace._native import Span, detach
from aftertrace.record.boundaries.calls import CLIENT, Open, around, around_async, close, opened, patch_all
from aftertrace.record.boundaries.stores import Instrumentors, Kept, parent

NAME = "redis"
_SCOPE = "aftertrace.redis"
_CONTRIB: Instrumentors = (("redis", "RedisInstrumentor"),)
_MOST_NAME = 32
_MOST_ARGUMENTS = 8  # of a command that are told as "?"
_MOST_COMMANDS = 16  # of a pipeline that are told
# Commands whose name has two words, in one argument or in two.
_CONTAINERS = frozenset(
    [
        "ACL",
        "CLIENT",
        "CLUSTER",
        "COMMAND",
        "CONFIG",
        "DEBUG",
        "FUNCTION",
        "LATENCY",
        "MEMORY",
        "MODULE",
        "OBJECT",
        "PUBSUB",
        "SCRIPT",
        "SENTINEL",
        "SLOWLOG",
        "XGROUP",
        "XINFO",
        "FT.CONFIG",
        "FT.CURSOR",
    ]
)
_CODE = re.compile(r"[A-Z]{2,32}(?= |\Z)")


def _read(first: str) -> tuple[str, str]:
    """The first word of a command, and a second one where the name has two."""
    words = first.split()
    name = words[0].upper()[:_MOST_NAME] if words else ""
    second = words[1].upper() if name in _CONTAINERS and len(words) > 1 else ""
    return name, second


_names = Kept(_read, 512)
_MARKS = [" ?" * count for count in range(_MOST_ARGUMENTS + 1)]


def _command(args: Any) -> tuple[str, str]:
    """The command's name and text: "SET", "SET ? ?"."""
    first, count = args[0], len(args) - 1
    if type(first) is bytes and len(first) <= 2 * _MOST_NAME:
        first = first.decode("latin-1")
    if type(first) is not str or len(first) > 2 * _MOST_NAME:
        return "command", ""
    name, second = _names.of(first)
    if name in _CONTAINERS:
        if not second and count:
            second, count = _plain(args[1]), count - 1
        if second.isalpha():
            name = f"{name} {second}"
    marks = _MARKS[count] if count <= _MOST_ARGUMENTS else f"{_MARKS[-1]} ..."
    return name or "command", name + marks


def _plain(argument: Any) -> str:
    if type(argument) is bytes:
        argument = argument.decode("latin-1")
    return argument.upper() if type(argument) is str and len(argument) <= _MOST_NAME else ""


def _base(client: Any) -> dict[str, Any]:
    """Where a client's pool connects; nothing where that is decided later (clusters, sentinels)."""
    told: dict[str, Any] = {"db.system.name": "redis"}
    pool = vars(client).get("connection_pool")
    asked = getattr(pool, "connection_kwargs", None)
    if type(asked) is not dict:
        return told
    host, port, database = asked.get("host") or asked.get("path"), asked.get("port"), asked.get("db")
    if type(host) is str:
        told["server.address"] = host
    if type(port) is int:
        told["server.port"] = port
    if type(database) is int or type(database) is str:
        told["db.namespace"] = str(database)
    return told


def _execute(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    above = parent(_CONTRIB)
    if above is None or len(args) < 2:
        return None
    name, text = _command(args[1:])
    attributes = _base(args[0])
    attributes["db.operation.name"] = name
    if text:
        attributes["db.query.text"] = text
    return opened(Span(name, CLIENT, above, attributes, None, None, _SCOPE))


def _pipeline(args: tuple[Any, ...], _kwargs: dict[str, Any]) -> Open | None:
    """None for an empty one, which asks nothing."""
    above = parent(_CONTRIB)
    if above is None:
        return None
    stack, multi = _stack(args[0])
    if not stack:
        return None
    whole = len(stack) <= _MOST_COMMANDS
    told = [_command(entry[0] if type(entry) is tuple else entry.args) for entry in stack[:_MOST_COMMANDS]]
    name = "MULTI" if multi else "PIPELINE"
    if whole and len({each for each, _ in told}) == 1:
        name = f"{name} {told[0][0]}"
    texts = [text for _, text in told]
    attributes = _base(args[0])
    attributes["db.operation.name"] = name
    if whole and len(set(texts)) == 1:
        attributes["db.query.text"] = texts[0]
    else:
        attributes["db.query.text"] = "; ".join(texts) + ("" if whole else "; ...")
    if len(stack) > 1:
        attributes["db.operation.batch.size"] = len(stack)
    return opened(Span(name, CLIENT, above, attributes, None, None, _SCOPE))


def _stack(pipeline: Any) -> tuple[list[Any], bool]:
    """The commands that wait, and whether they are a transaction. A cluster's stand in its strategy."""
    strategy = getattr(pipeline, "_execution_strategy", None)
    if strategy is not None:
        return strategy._command_queue, type(strategy).__name__ == "TransactionStrategy"  # noqa: SLF001
    fields = vars(pipeline)
    multi = fields.get("transaction") or fields.get("is_transaction") or fields.get("explicit_transaction")
    return fields.get("command_stack") or getattr(pipeline, "_command_stack", []), bool(multi)


def _closed(state: Open, _result: Any, error: BaseException | None) -> None:
    if error is None:
        state.span.end()
        detach(state.token)
        return
    if error.args and type(error.args[0]) is str:
        code = _CODE.match(error.args[0])  # "WRONGTYPE Operation against ..."
        if code is not None:
            state.span.set_attribute("db.response.status_code", code[0])
    close(state, None, error)


_commands, _pipelines = around(NAME, _execute, _closed), around(NAME, _pipeline, _closed)
_commands_later, _pipelines_later = around_async(NAME, _execute, _closed), around_async(NAME, _pipeline, _closed)


def blocking(module: ModuleType) -> None:
    """``redis.client``."""
    patch_all(
        module,
        {
            "Redis.execute_command": _commands,
            "Pipeline.execute": _pipelines,
            "Pipeline.immediate_execute_command": _commands,
        },
    )


def later(module: ModuleType) -> None:
    """``redis.asyncio.client``."""
    patch_all(
        module,
        {
            "Redis.execute_command": _commands_later,
            "Pipeline.execute": _pipelines_later,
            "Pipeline.immediate_execute_command": _commands_later,
        },
    )


def cluster(module: ModuleType) -> None:
    """``redis.cluster``."""
    patch_all(module, {"RedisCluster.execute_command": _commands, "ClusterPipeline.execute": _pipelines})


def cluster_later(module: ModuleType) -> None:
    """``redis.asyncio.cluster``."""
    patch_all(module, {"RedisCluster.execute_command": _commands_later, "ClusterPipeline.execute": _pipelines_later})
