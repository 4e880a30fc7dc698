"""debugpy, attached to a recorded program: it stops where it is told to, steps, and shows what it shows bare."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..record.conftest import Agent, environment, recorded
from .conftest import Kinds
from .dap import Client
from .test_tools import flow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_breakpoints_steps_and_values(program: Path, agent: Agent, alone: Kinds) -> None:
    bare = debugged(program, lambda words: words)
    told = debugged(program, lambda words: recorded(agent.path, words, "--level", "lines", "--budget", "100%"))
    assert told == bare
    assert bare["stopped"] == ["breakpoint", "step", "step", "breakpoint"]
    assert bare["frames"][0] == [("risky", 13), ("main", 27)]
    assert bare["locals"] == [{"n": "0"}, {"n": "0"}, {"n": "0"}, {"n": "3"}]
    assert bare["evaluated"] == "3"
    assert any(flow(process.kinds) == flow(alone) for process in agent.all_closed())


def debugged(program: Path, wrap: Any) -> dict[str, Any]:
    """The whole session, as far as it must not differ."""
    port = free_port()
    words = [sys.executable, "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client", "work.py"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = environment(PYDEVD_DISABLE_FILE_VALIDATION="1")
    with subprocess.Popen(wrap(words), cwd=program, env=env, text=True, **pipes) as process:
        client = Client(port)
        try:
            found = session(client, str(program / "work.py"))
            out, err = process.communicate(timeout=60)
        finally:
            client.close()
            process.kill()
    assert process.returncode == 0, err
    return found | {"out": out, "said": re.sub(r"\d+\.\d+s", "", err)}


def session(client: Client, path: str) -> dict[str, Any]:
    client.ask("initialize", adapterID="python", pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
    attached = client.send("attach", justMyCode=True)
    client.event("initialized")
    client.ask("setBreakpoints", source={"path": path}, breakpoints=[{"line": 13}])
    client.ask("setExceptionBreakpoints", filters=[])
    client.ask("configurationDone")
    client.answer(attached)
    found: dict[str, Any] = {"stopped": [], "frames": [], "locals": []}
    thread = stopped(client, found)
    for _ in range(2):
        client.ask("next", threadId=thread)
        stopped(client, found)
    client.ask("continue", threadId=thread)
    top = stopped(client, found)
    frame = client.ask("stackTrace", threadId=top)["stackFrames"][0]["id"]
    found["evaluated"] = client.ask("evaluate", expression="n", frameId=frame, context="repl")["result"]
    client.ask("setBreakpoints", source={"path": path}, breakpoints=[])
    client.ask("continue", threadId=thread)
    client.event("terminated")
    client.ask("disconnect")
    return found


def stopped(client: Client, found: dict[str, Any]) -> int:
    """Notes why it stopped, where, and the locals there; the thread's id."""
    event = client.event("stopped")
    frames = client.ask("stackTrace", threadId=event["threadId"])["stackFrames"]
    scopes = client.ask("scopes", frameId=frames[0]["id"])["scopes"]
    variables = client.ask("variables", variablesReference=scopes[0]["variablesReference"])["variables"]
    found["stopped"].append(event["reason"])
    found["frames"].append([(frame["name"], frame["line"]) for frame in frames][:2])
    found["locals"].append({one["name"]: one["value"] for one in variables if one["name"] == "n"})
    thread: int = event["threadId"]
    return thread
