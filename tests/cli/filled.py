"""A real server over a store that holds given traces."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from aftertrace import store
from aftertrace.model import LogRecord, Resource
from aftertrace.wire import zstd
from aftertrace.wire.bundle import TraceData

COMMAND = [sys.executable, "-P", "-c", "from aftertrace.cli.main import main; main()"]


def logs(trace: TraceData) -> list[LogRecord]:
    """Recordings, sources and keeps of a trace as the agent sends them (docs/format.md, "On the wire")."""
    resource = Resource({"service.name": "agent"})
    found = list(trace.logs)
    for number, recording in enumerate(trace.recordings):
        attributes = {
            "aftertrace.recording.id": f"{trace.trace_id[:24]}{number:08x}",
            "aftertrace.recording.piece": 0,
            "aftertrace.recording.pieces": 1,
            "aftertrace.recording.process_uid": "00" * 16,
        }
        body = zstd.compress(recording)
        event = "aftertrace.recording"
        found.append(LogRecord(1, 9, body, resource, trace.trace_id, "", event, attributes))
    for digest, text in trace.sources.items():
        attributes = {"aftertrace.source.sha256": digest, "aftertrace.source.path": "x.py"}
        found.append(LogRecord(1, 9, zstd.compress(text.encode()), resource, "", "", "aftertrace.source", attributes))
    for keep in trace.keeps:
        attributes = {"aftertrace.keep.trigger": keep.trigger, "aftertrace.keep.reason": keep.reason}
        attributes |= {"aftertrace.keep.process_uid": keep.process_uid, "aftertrace.keep.role": keep.role}
        attributes |= {"aftertrace.keep.route": keep.route} if keep.route else {}
        attributes |= {"aftertrace.keep.group": keep.group, "aftertrace.keep.title": keep.title} if keep.group else {}
        of_service = Resource({"service.name": keep.service})
        record = LogRecord(keep.time_ns, 9, "", of_service, trace.trace_id, "", "aftertrace.kept", attributes)
        found.append(record)
    return found


@contextlib.contextmanager
def serving(directory: Path, *traces: TraceData) -> Iterator[dict[str, str]]:
    """The environment in which `aftertrace` asks it."""
    filled = store.open(directory)
    for trace in traces:
        filled.add_spans(trace.spans)
        assert filled.add_logs(logs(trace)) == []
    filled.close()
    words = ["serve", "--json", "--api-port", "0", "--otlp-port", "0", "--store", str(directory)]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            said = json.loads(server.stdout.readline())
            yield {**os.environ, "AFTERTRACE_SERVER": said["api"]}
        finally:
            server.terminate()


def ask(env: dict[str, str], *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], env=env, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )
