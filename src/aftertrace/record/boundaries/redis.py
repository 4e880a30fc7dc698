"""redis-py, blocking and asyncio, single servers and clusters: a CLIENT span around each command and pipeline, inside
a trace. Of a command its name is told and how many arguments it has, never a key or a value.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from aftertrace._native import Span, Template
from aftertrace.record.boundaries.calls import CLIENT, finish, patch_all
from aftertrace.record.boundaries.stores import Arguments, Described, Instrumentors, Kept, Servers, Spans

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


def _tell(host: Any, port: Any, database: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"db.system.name": "redis"}
    if type(host) is str:
        told["server.address"] = host
    if type(port) is int:
        told["server.port"] = port
    if type(database) is int or type(database) is str:
        told["db.namespace"] = str(database)
    return told


_servers = Servers(_tell)


def _base(client: Any) -> Template:
    """Where a client's pool connects; nothing where that is decided later (clusters, sentinels)."""
    asked = getattr(vars(client).get("connection_pool"), "connection_kwargs", None)
    if type(asked) is not dict:
        return _servers.of(None, None, None)
    return _servers.of(asked.get("host") or asked.get("path"), asked.get("port"), asked.get("db"))


def _template(name: str, text: str, batch: int = 0) -> Template:
    attributes: dict[str, Any] = {"db.operation.name": name}
    if text:
        attributes["db.query.text"] = text
    if batch > 1:
        attributes["db.operation.batch.size"] = batch
    return Template(name, CLIENT, attributes, _SCOPE)


# By the command's name and how many arguments there are; names of one word only.
_known: dict[tuple[str, int], Template] = {}
_MOST_KNOWN = 512


def _execute(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    if len(args) < 2:
        return None
    first = args[1]
    found = _known.get((first, len(args))) if type(first) is str else None
    return _new(args) if found is None else found, _base(args[0])


def _new(args: Arguments) -> Template:
    name, text = _command(args[1:])
    made, first = _template(name, text), args[1]
    if type(first) is str and first.isalpha() and first == name and name not in _CONTAINERS:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[name, len(args)] = made
    return made


def _pipeline(args: Arguments, _kwargs: dict[str, Any]) -> Described:
    """None for an empty one, which asks nothing."""
    stack, multi = _stack(args[0])
    if not stack:
        return None
    whole = len(stack) <= _MOST_COMMANDS
    told = [_command(entry[0] if type(entry) is tuple else entry.args) for entry in stack[:_MOST_COMMANDS]]
    name = "MULTI" if multi else "PIPELINE"
    if whole and len({each for each, _ in told}) == 1:
        name = f"{name} {told[0][0]}"
    texts = [text for _, text in told]
    text = texts[0] if whole and len(set(texts)) == 1 else "; ".join(texts) + ("" if whole else "; ...")
    return _template(name, text, len(stack)), _base(args[0])


def _stack(pipeline: Any) -> tuple[list[Any], bool]:
    """The commands that wait, and whether they are a transaction. A cluster's stand in its strategy."""
    strategy = getattr(pipeline, "_execution_strategy", None)
    if strategy is not None:
        return strategy._command_queue, type(strategy).__name__ == "TransactionStrategy"  # noqa: SLF001
    fields = vars(pipeline)
    multi = fields.get("transaction") or fields.get("is_transaction") or fields.get("explicit_transaction")
    return fields.get("command_stack") or getattr(pipeline, "_command_stack", []), bool(multi)


def _failed(span: Span, _result: None, error: BaseException) -> None:
    if error.args and type(error.args[0]) is str:
        code = _CODE.match(error.args[0])  # "WRONGTYPE Operation against ..."
        if code is not None:
            span.set_attribute("db.response.status_code", code[0])
    finish(span, None, error)


_one, _several = (Spans(NAME, describe, _failed, _CONTRIB) for describe in (_execute, _pipeline))
_commands, _pipelines = _one.around, _several.around
_commands_later, _pipelines_later = _one.around_async, _several.around_async


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
